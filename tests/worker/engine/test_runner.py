"""Whole runs on real photos: what comes out, and how bad input ends."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image as Pictures
from safetensors.torch import load_file

from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from regraft.contract.job import JobSpec
from tests.worker.engine.conftest import SAMPLES, MakeSpec, TrainedRun
from tests.worker.engine.random_backbone import random_record
from tests.worker.engine.recorder import Recorder
from worker.engine.backbone import prepared
from worker.engine.context import Context, RunCancelledError, RunPausedError
from worker.engine.data import load
from worker.engine.export.segments import compose
from worker.engine.failures import EngineError
from worker.engine.packs import NewImage, write_pack
from worker.engine.runner import run
from worker.engine.runspec import DataSource, RunSpec


def _fails(spec: RunSpec, code: ErrorCode, param: str | None = None) -> str:
    """Run `spec`, which must fail with `code`, and return the message."""
    with pytest.raises(EngineError) as caught:
        run(spec, Context())
    assert (caught.value.code, caught.value.param) == (code, param)
    return caught.value.message


def _copy(source: str, folder: Path, **classes: int) -> Path:
    """Copy the first images of some classes of a sample, and return the folder."""
    for label, count in classes.items():
        name = label.replace("_", "-")
        (folder / name).mkdir(parents=True)
        for path in sorted((SAMPLES / source / name).iterdir())[:count]:
            shutil.copy(path, folder / name)
    return folder


def test_real_products_are_recognised_far_above_chance(trained: TrainedRun) -> None:
    """The product would not do what it is for."""
    done = trained.result.done
    assert done.metrics.validation is not None
    assert done.metrics.test is not None
    assert done.metrics.validation.num_images == 24
    assert done.metrics.test.num_images == 100
    assert done.metrics.test.accuracy >= 0.88
    assert done.metrics.test.ece is not None
    assert done.num_images == 220
    assert trained.recorder.values["test_accuracy"] == [done.metrics.test.accuracy]


def test_what_is_said_of_probabilities_and_thresholds_is_what_was_measured(
    trained: TrainedRun,
) -> None:
    """A merchant would automate by numbers that rest on nothing."""
    metrics = trained.result.done.metrics
    assert metrics.calibration is not None
    assert (metrics.calibration.source, metrics.calibration.num_images) == ("left_out", 96)
    assert metrics.test is not None
    assert metrics.test.abstention is not None
    assert 0 < metrics.test.abstention.coverage < 1
    assert (metrics.test.abstention.accuracy or 0) >= metrics.test.accuracy
    explanation = trained.result.done.transfer.explanation
    for words in (
        "calibrated on 96 training images left out",
        f"it answers {metrics.test.abstention.num_answered} of 100 test images",
    ):
        assert words in explanation
    names = json.loads((trained.folder / "labels.json").read_text())
    assert names["thresholds"] == [one.threshold for one in metrics.calibration.thresholds]
    stored = json.loads((trained.folder / "metrics.json").read_text())
    assert stored["metrics"] == metrics.model_dump(mode="json")


def test_the_gain_over_training_from_scratch_is_on_the_same_images(trained: TrainedRun) -> None:
    """The headline number would compare different things."""
    transfer, metrics = trained.result.done.transfer, trained.result.done.metrics
    assert transfer.from_scratch is not None
    assert transfer.gain is not None
    assert metrics.validation is not None
    assert transfer.baseline == metrics.validation
    assert transfer.from_scratch.num_images == metrics.validation.num_images
    difference = 100 * (metrics.validation.accuracy - transfer.from_scratch.accuracy)
    assert transfer.gain.points == pytest.approx(difference)
    assert transfer.gain.interval[0] <= transfer.gain.points <= transfer.gain.interval[1]
    assert transfer.guard is not None
    assert transfer.guard.decision == "delivered"
    for words in ("96 images", "of 24 held-out images", "of 100 test images", "from scratch"):
        assert words in transfer.explanation


def test_progress_only_grows_and_passes_every_phase(trained: TrainedRun) -> None:
    """The bar would jump back, or look stuck."""
    fractions = [fraction for _, fraction in trained.recorder.steps]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    phases = list(dict.fromkeys(phase for phase, _ in trained.recorder.steps))
    assert phases == ["preparing", "features", "training", "evaluating", "exporting"]


def test_a_pack_in_another_order_trains_the_same_model(
    trained: TrainedRun, make_spec: MakeSpec, tmp_path: Path
) -> None:
    """A job would differ from the same run from a shell, or from its own retry."""
    images = load(trained.spec.data)
    random.Random(1).shuffle(images)
    rows = [
        NewImage(image.sha256, image.name, image.label, None, None, [image.read()])
        for image in images
    ]
    write_pack(tmp_path / "set.pack", rows)
    spec = make_spec(tmp_path, SAMPLES / "target", None)
    spec = spec.model_copy(update={"data": DataSource(pack=tmp_path / "set.pack")})
    recorder = Recorder()
    result = run(spec, recorder)
    assert recorder.said("120 images were computed before")
    compose(result.produced, tmp_path / "model")
    ours = load_file(tmp_path / "model" / "model.safetensors")
    theirs = load_file(trained.folder / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert result.done.metrics.validation == trained.result.done.metrics.validation
    lineage = trained.result.done.lineage
    assert result.done.lineage["training_set_sha256"] == lineage["training_set_sha256"]


def test_one_photo_of_each_class_gives_a_model_without_a_score(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """One-shot jobs would fail, or claim an accuracy nobody measured."""
    data = _copy("target", tmp_path / "data", bag=1, sneaker=1, sandal=1)
    spec = make_spec(tmp_path / "run", data, None, comparisons=["from_scratch"])
    done = run(spec, Context()).done
    assert done.metrics.validation is None
    assert done.transfer.from_scratch is None
    assert done.transfer.gain is None
    assert "not known" in done.transfer.explanation


def test_without_held_out_images_the_folds_speak(make_spec: MakeSpec, tmp_path: Path) -> None:
    """A merchant who needs every image for training would learn nothing of the quality."""
    data = _copy("target", tmp_path / "data", bag=8, sneaker=8)
    spec = make_spec(tmp_path / "run", data, None, validation={"fraction": 0.0})
    done = run(spec, Context()).done
    assert done.metrics.validation is None
    assert any(one.chosen and one.score for one in done.transfer.candidates)
    assert "were left out in turn" in done.transfer.explanation


def test_no_exports_leave_tensors_and_facts(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Who wants only the weights would wait for an export."""
    spec = make_spec(tmp_path, SAMPLES / "target", None, exports=[])
    names = {file.name for file in run(spec, Context()).produced.files}
    assert names == {
        "model.safetensors",
        "labels.json",
        "preprocess.json",
        "metrics.json",
        "predictions.json",
        "reference.safetensors",
        "head.safetensors",
        "README.md",
        "report.html",
        "bundle.zip",
    }


def test_what_cannot_be_used_is_left_out_and_said(make_spec: MakeSpec, tmp_path: Path) -> None:
    """One bad file would end the job, or vanish without a word."""
    data = _copy("target", tmp_path / "data", bag=8, sneaker=8)
    (data / "bag" / "fake.jpg").write_text("not an image")
    shutil.copy(min((data / "bag").glob("0*.png")), data / "bag" / "again.png")
    test = _copy("target-test", tmp_path / "test", bag=3, sneaker=3)
    shutil.copy(sorted((data / "bag").glob("0*.png"))[1], test / "bag" / "seen.png")
    recorder = Recorder()
    done = run(make_spec(tmp_path / "run", data, test), recorder).done
    assert recorder.said("1 repeated")
    assert recorder.said("is not an image")
    assert recorder.said("1 images that are in the dataset too")
    assert done.num_images == 22
    assert done.metrics.test is not None
    assert done.metrics.test.num_images == 6


def test_copies_of_training_images_are_kept_together_or_reported(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """An accuracy on images known by heart would be taken for quality."""
    data = _copy("target", tmp_path / "data", bag=8, sneaker=8)
    test = _copy("target-test", tmp_path / "test", bag=3, sneaker=3)
    for path in sorted((data / "bag").iterdir())[:4]:
        with Pictures.open(path) as picture:
            larger = picture.resize((112, 112), Pictures.Resampling.BICUBIC)
            larger.save(data / "bag" / f"copy-{path.stem}.png")
            if path.stem.startswith(min(data.glob("bag/0*")).stem):
                larger.convert("RGB").save(test / "bag" / "copy.jpg", quality=90)
    recorder = Recorder()
    done = run(make_spec(tmp_path / "run", data, test, exports=[]), recorder).done
    assert recorder.said("Kept on one side of the split: 8 images")
    (found,) = done.metrics.leaks
    assert (found.part, found.num_images, found.num_others) == ("test", 1, 6)
    assert found.examples[0].image == "bag/copy.jpg"
    assert recorder.said("1 test images nearly equal images that are learned from")
    assert done.metrics.test is not None
    assert done.metrics.test.num_images == 7
    assert found.accuracy_without is not None
    assert "nearly equal images that it learned from; on the other 6" in done.transfer.explanation


@pytest.mark.parametrize("classes", [{}, {"bag": 5}])
def test_fewer_than_two_classes_cannot_be_trained(
    classes: dict[str, int], make_spec: MakeSpec, tmp_path: Path
) -> None:
    """A model that knows one answer would be delivered."""
    (tmp_path / "data").mkdir()
    data = _copy("target", tmp_path / "data", **classes)
    message = _fails(make_spec(tmp_path, data, None), ErrorCode.TOO_FEW_IMAGES, "dataset")
    assert "2 classes" in message


def test_a_test_class_that_was_never_trained_is_named(make_spec: MakeSpec, tmp_path: Path) -> None:
    """Every image of it would count as an error of the model."""
    data = _copy("target", tmp_path / "data", bag=5, sneaker=5)
    test = _copy("target-test", tmp_path / "test", bag=2, sandal=2)
    spec = make_spec(tmp_path / "run", data, test)
    assert "sandal" in _fails(spec, ErrorCode.VALIDATION_FAILED, "test_dataset")


def test_a_folder_that_is_not_there_is_named(make_spec: MakeSpec, tmp_path: Path) -> None:
    """The user would look for the mistake in the wrong place."""
    spec = make_spec(tmp_path, tmp_path / "nowhere", None)
    assert "nowhere" in _fails(spec, ErrorCode.VALIDATION_FAILED, "dataset")


@pytest.mark.parametrize("phase", ["preparing", "training", "evaluating"])
def test_a_cancel_in_any_phase_ends_the_run(
    phase: str, make_spec: MakeSpec, tmp_path: Path
) -> None:
    """A cancelled job would go on computing."""
    spec = make_spec(tmp_path, SAMPLES / "target", None)
    with pytest.raises(RunCancelledError):
        run(spec, Recorder(cancel_in=phase))  # type: ignore[arg-type]
    assert not (tmp_path / "model").exists()


def test_the_spec_of_the_run_is_the_spec_of_the_job(trained: TrainedRun) -> None:
    """A field the engine ignores would be a promise nobody keeps."""
    assert isinstance(trained.spec.spec, JobSpec)
    assert trained.result.done.lineage["seed"] == trained.spec.spec.seed
    assert trained.result.done.lineage["num_train"] == 96


def test_a_model_tells_the_runtime_that_computed_its_features(trained: TrainedRun) -> None:
    """Nobody could say why two hosts' models differ in their last digits."""
    (note,) = trained.spec.shared_cache.glob("runtimes/*.efficientnet_lite0.json")
    name = json.loads(note.read_text())["runtime"]
    assert name in str(trained.result.done.lineage["numeric_profile"])


@pytest.mark.usefixtures("one_thread")
def test_a_fine_tuned_model_is_the_merchants_own_and_answers_as_trained(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """Its weights would be shared with others, or the files hold the untrained backbone."""
    data = _copy("target", tmp_path / "data", bag=6, sneaker=6)
    spec = make_spec(
        tmp_path / "run",
        data,
        None,
        strategy={"type": "partial_finetune"},
        guard="off",
        hyperparameters={"epochs": 2, "augmentation": "none"},
    )
    recorder = Recorder()
    result = run(spec, recorder)
    compose(result.produced, tmp_path / "model")
    published = prepared("efficientnet_lite0", None).module.state_dict()
    shipped = load_file(tmp_path / "model" / "model.safetensors")
    assert torch.equal(shipped["conv_stem.weight"], published["conv_stem.weight"])
    assert not torch.equal(shipped["conv_head.weight"], published["conv_head.weight"])
    assert [ref.path.name for ref in result.produced.blobs if ref.shared] == ["predict.py"]
    assert recorder.values["parity_photos"][0] < 1e-3
    assert recorder.checkpoints
    assert result.done.transfer.candidates[0].hyperparameters["epochs"] == 2
    plain = run(make_spec(tmp_path / "plain", data, None, exports=[]), Context()).done
    assert result.done.transfer.baseline == plain.metrics.validation
    calibration = result.done.metrics.calibration
    assert calibration is not None
    assert (calibration.source, calibration.temperature) == (None, None)
    assert "not calibrated: there were too few images" in result.done.transfer.explanation
    fractions = [fraction for _, fraction in recorder.steps]
    assert fractions == sorted(fractions)


@pytest.mark.usefixtures("one_thread")
def test_a_paused_run_is_resumed_and_ends_as_an_unbroken_one(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause would cost the training so far, or change what comes of it."""
    record = random_record("mobilenet_v3_small", tmp_path / "weights")
    monkeypatch.setitem(BACKBONES, record.name, record)
    job = {"strategy": {"type": "full_finetune"}, "exports": [], "base": {"backbone": record.name}}
    job |= {"hyperparameters": {"epochs": 2, "augmentation": "standard"}, "guard": "off"}

    def spec(name: str, resume_from: Path | None = None) -> RunSpec:
        made = make_spec(tmp_path / name, SAMPLES / "target", None, **job)
        return made.model_copy(
            update={"weights_dir": tmp_path / "weights", "resume_from": resume_from}
        )

    unbroken = run(spec("unbroken"), Context())
    paused = Recorder(pause_at=3)
    with pytest.raises(RunPausedError):
        run(spec("paused"), paused)
    resumed = Recorder()
    result = run(spec("resumed", paused.checkpoints[-1][0]), resumed)
    assert resumed.said("Goes on from a checkpoint")
    assert min(resumed.at["train_loss"]) == 4
    assert result.done.metrics == unbroken.done.metrics
    files = ((one.name, one.sha256) for one in result.produced.files)
    assert dict(files) == {one.name: one.sha256 for one in unbroken.produced.files}
