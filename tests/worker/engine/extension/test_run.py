"""Labels added to a real model from a few real photos: what they bring, and what is refused."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from regraft.contract.drift import REFERENCE_FILE
from regraft.contract.errors import ErrorCode
from regraft.contract.held_out import HeldOut
from tests.worker.engine.conftest import SAMPLES, MakeSpec, TrainedRun
from tests.worker.engine.recorder import Recorder
from worker.engine.export.segments import compose
from worker.engine.failures import EngineError
from worker.engine.packs import NewImage, write_pack
from worker.engine.runner import Result, run
from worker.engine.runspec import BaseModelFile, DataSource, FinishedFiles, RunSpec
from worker.engine.shipped.predict import Predictor

MODEL = "md_01k00000000000000000000002"
LABEL = "coat"


def _photos(folder: Path, source: str, name: str, numbers: slice, label: str | None = None) -> Path:
    """Copy some photos of a sample's class under a label, and return the folder."""
    target = folder / (label or name)
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted((SAMPLES / source / name).iterdir())[numbers]:
        shutil.copy(path, target)
    return folder


def _spec(
    make_spec: MakeSpec, trained: TrainedRun, workspace: Path, data: Path, **given: Any
) -> RunSpec:
    """Return the spec of a run that extends the trained model."""
    strategy = {"type": "prototype", "extends": True, "label": given.pop("label", None)}
    files = FinishedFiles(
        metrics=trained.folder / "metrics.json",
        predictions=trained.folder / "predictions.json",
        data=given.pop("datasets", [trained.spec.data]),
    )
    weights = given.pop("weights", trained.folder / "model.safetensors")
    made = make_spec(workspace, SAMPLES / "target", given.pop("test", None), exports=["onnx"])
    job = {
        **made.spec.model_dump(mode="json"),
        "base": {"model": MODEL},
        "strategy": strategy,
        **given,
    }
    base = BaseModelFile(backbone="efficientnet_lite0", weights=weights)
    values = {"spec": job, "data": {"folder": data}, "finished": files, "base_model": base}
    return RunSpec.model_validate({**made.model_dump(), **values})


@pytest.fixture(scope="module")
def run_of_coats(
    make_spec: MakeSpec, trained: TrainedRun, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Result, Path, Recorder]:
    """Ten photos of coats added to a model of shoes and bags, tested on others."""
    folder = tmp_path_factory.mktemp("coats")
    data = _photos(folder / "data", "source", LABEL, slice(10))
    test = shutil.copytree(SAMPLES / "target-test", folder / "test")
    _photos(test, "source", LABEL, slice(10, 30))
    recorder = Recorder()
    result = run(_spec(make_spec, trained, folder / "run", data, test=test), recorder)
    compose(result.produced, folder / "model")
    return result, folder, recorder


def test_the_new_label_is_known_and_the_others_are_not_forgotten(
    trained: TrainedRun, run_of_coats: tuple[Result, Path, Recorder]
) -> None:
    """A merchant would have to train anew for each new product group."""
    done = run_of_coats[0].done
    assert done.labels == [*trained.result.done.labels, LABEL]
    before, after = trained.result.done.metrics.test, done.metrics.test
    assert before is not None
    assert after is not None
    recalls = {one.label: one.recall or 0.0 for one in after.per_class}
    assert recalls[LABEL] >= 0.9
    for one in before.per_class:
        assert recalls[one.label] >= (one.recall or 0.0) - 0.08
    assert after.num_images == 120


def test_what_it_cost_is_told_on_images_that_nothing_learned_from(
    trained: TrainedRun, run_of_coats: tuple[Result, Path, Recorder]
) -> None:
    """The merchant would promote a model without knowing what became of the other labels."""
    done = run_of_coats[0].done
    facts = done.transfer.extension
    assert facts is not None
    assert (facts.extends, facts.labels, facts.num_new) == (MODEL, [LABEL], 10)
    assert (facts.num_old, facts.compared_on) == (24, "held_out")
    known = trained.result.done.metrics.validation
    assert known is not None
    assert facts.old_right_before == round(known.accuracy * known.num_images)
    assert facts.before is not None
    assert facts.before.accuracy == known.accuracy
    measured = done.metrics.validation
    assert measured is not None
    assert measured.num_images == 34
    assert measured.confusion_matrix.labels == done.labels
    for words in (f"Added {LABEL} to the 4 labels", "Of 10 images of new labels", "held-out"):
        assert words in done.transfer.explanation
    assert done.lineage["extends"] == MODEL
    assert done.lineage["added_labels"] == [LABEL]
    assert done.lineage["base_model"] == MODEL


def test_the_files_are_whole_and_answer_as_the_model(
    trained: TrainedRun, run_of_coats: tuple[Result, Path, Recorder]
) -> None:
    """A version that cannot be downloaded, compared or served would be none."""
    result, folder, recorder = run_of_coats
    model = folder / "model"
    names = {path.name for path in trained.folder.iterdir()}
    assert {path.name for path in model.iterdir()} == names
    reference = load_file(model / REFERENCE_FILE)
    known = load_file(trained.folder / REFERENCE_FILE)["counts"]
    assert reference["counts"].tolist() == [*known.tolist(), 10]
    ours, theirs = (
        load_file(model / "head.safetensors"),
        load_file(trained.folder / "head.safetensors"),
    )
    assert all(torch.equal(ours[name][:4], value) for name, value in theirs.items())
    assert recorder.values["parity_photos"][0] < 1e-3
    photos = sorted((folder / "test" / LABEL).iterdir())
    said = Predictor(model).probabilities([path.read_bytes() for path in photos]).argmax(axis=1)
    assert (said == 4).mean() >= 0.9
    held = HeldOut.model_validate_json((model / "predictions.json").read_bytes())
    before = HeldOut.model_validate_json((trained.folder / "predictions.json").read_bytes())
    assert {one.sha256 for one in held.validation} == {one.sha256 for one in before.validation}
    assert [ref.path.name for ref in result.produced.blobs if ref.shared]
    assert LABEL in (model / "README.md").read_text()


def test_a_known_label_keeps_its_threshold_or_gets_a_higher_one(
    trained: TrainedRun, run_of_coats: tuple[Result, Path, Recorder]
) -> None:
    """A model would begin to answer where it had been found to be wrong."""
    before = json.loads((trained.folder / "labels.json").read_text())
    after = json.loads((run_of_coats[1] / "model" / "labels.json").read_text())
    assert after["wanted_precision"] == before["wanted_precision"]
    for old, new in zip(before["thresholds"], after["thresholds"], strict=False):
        assert new == old if old is None else new >= old


def test_photos_without_labels_show_the_label_that_is_asked_for(
    make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """A merchant with a handful of photos would have to build folders first."""
    photos = sorted((SAMPLES / "source" / LABEL).iterdir())[:6]
    rows = [
        NewImage(_sha256(path), path.name, None, None, None, [path.read_bytes()]) for path in photos
    ]
    write_pack(tmp_path / "coats.pack", rows)
    spec = _spec(
        make_spec, trained, tmp_path / "run", SAMPLES / "target", label="overcoat", exports=[]
    )
    spec = spec.model_copy(update={"data": DataSource(pack=tmp_path / "coats.pack")})
    done = run(spec, Recorder()).done
    assert done.labels[-1] == "overcoat"
    assert done.transfer.extension is not None
    assert done.transfer.extension.num_new == 6


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_second_name_for_a_known_label_is_refused(
    make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """The merchant's model would lose a label to its twin without a word."""
    data = _photos(tmp_path / "data", "target-test", "sneaker", slice(12), "trainer")
    spec = _spec(make_spec, trained, tmp_path / "run", data, exports=[])
    with pytest.raises(EngineError) as caught:
        run(spec, Recorder())
    assert (caught.value.code, caught.value.param) == (ErrorCode.HARMFUL_EXTENSION, "dataset")
    assert "trainer" in caught.value.message
    recorder = Recorder()
    unguarded = spec.model_copy(update={"spec": spec.spec.model_copy(update={"guard": "off"})})
    done = run(unguarded, recorder).done
    assert done.transfer.guard is not None
    assert done.transfer.guard.reason.startswith("The guard is off")
    assert any(level == "warn" for level, _, _ in recorder.events)


def test_what_cannot_be_added_is_said(
    make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """A job would fail without a reason, or deliver a label that rests on nothing."""
    few = _photos(tmp_path / "few", "source", LABEL, slice(4))
    known = _photos(tmp_path / "known", "target-test", "bag", slice(8))
    enough = _photos(tmp_path / "enough", "source", LABEL, slice(6))
    cases: list[tuple[Path, dict[str, Any], ErrorCode, str]] = [
        (few, {}, ErrorCode.TOO_FEW_IMAGES, "coat (4)"),
        (known, {}, ErrorCode.LABEL_EXISTS, "does not know"),
        (enough, {"label": "dress"}, ErrorCode.LABEL_EXISTS, "dress"),
        (enough, {"datasets": []}, ErrorCode.TOO_FEW_IMAGES, "own labels"),
    ]
    for number, (data, given, code, words) in enumerate(cases):
        spec = _spec(make_spec, trained, tmp_path / str(number), data, exports=[], **given)
        with pytest.raises(EngineError) as caught:
            run(spec, Recorder())
        assert (caught.value.code, caught.value.param) == (code, "dataset")
        assert words in caught.value.message


def test_photos_of_known_labels_in_the_dataset_take_the_place_of_a_lost_one(
    make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """A model whose first dataset was erased could never learn another label."""
    data = _photos(tmp_path / "data", "source", LABEL, slice(6))
    for name in ("bag", "sandal", "sneaker", "ankle-boot"):
        _photos(data, "target-test", name, slice(4))
    spec = _spec(make_spec, trained, tmp_path / "run", data, exports=[], datasets=[])
    facts = run(spec, Recorder()).done.transfer.extension
    assert facts is not None
    assert (facts.num_old, facts.compared_on) == (16, "held_out")


def test_a_fine_tuned_model_keeps_its_own_backbone(
    make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """The new rows would be of the published backbone's features, and mean nothing to it."""
    state = load_file(trained.folder / "model.safetensors")
    state["conv_head.weight"] = state["conv_head.weight"] * 1.01
    labels = json.dumps(trained.result.done.labels)
    save_file(state, tmp_path / "tuned.safetensors", {"labels": labels, "format": "pt"})
    data = _photos(tmp_path / "data", "source", LABEL, slice(5))
    for name in ("bag", "sandal", "sneaker", "ankle-boot"):
        _photos(data, "target-test", name, slice(2))
    spec = _spec(
        make_spec,
        trained,
        tmp_path / "run",
        data,
        datasets=[],
        guard="off",
        weights=tmp_path / "tuned.safetensors",
        exports=[],
    )
    result = run(spec, Recorder())
    compose(result.produced, tmp_path / "model")
    shipped = load_file(tmp_path / "model" / "model.safetensors")
    assert torch.equal(shipped["conv_head.weight"], state["conv_head.weight"])
    assert not any(ref.shared for ref in result.produced.blobs)
    assert shipped["classifier.weight"].shape[0] == 5
