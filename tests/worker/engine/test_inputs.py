"""What a run learns from and what it is tested on, when it has several datasets."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from regraft.contract.errors import ErrorCode
from tests.worker.engine.conftest import DATASET, SAMPLES
from tests.worker.engine.random_backbone import random_record
from tests.worker.engine.recorder import Recorder
from worker.engine import backbone as backbones
from worker.engine.backbone import Backbone
from worker.engine.failures import EngineError
from worker.engine.inputs import Inputs, read_inputs
from worker.engine.lineage import identity, lineage
from worker.engine.runspec import DataSource, RunSpec

SOURCE, UNLABELLED = (DATASET[:-1] + last for last in "23")
Files = Mapping[str, list[Path]]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A quick backbone of random weights."""
    folder = tmp_path_factory.mktemp("weights")
    return backbones.of_record(random_record("mobilenet_v3_small", folder, 32), folder)


def _photos(label: str, count: int = 10, part: str = "target") -> list[Path]:
    return sorted((SAMPLES / part / label).iterdir())[:count]


TARGET: Files = {"bag": _photos("bag"), "sneaker": _photos("sneaker")}
ELSEWHERE: Files = {name: _photos(name, 4, "source") for name in ("coat", "dress")}


def _folder(root: Path, files: Files) -> DataSource:
    for label, paths in files.items():
        (root / label).mkdir(parents=True)
        for path in paths:
            shutil.copy(path, root / label)
    return DataSource(folder=root)


def _spec(
    folder: Path, source: Files | None = None, unlabelled: Files | None = None, **spec: Any
) -> RunSpec:
    named = {
        "source_dataset": SOURCE if source else None,
        "unlabelled_dataset": UNLABELLED if unlabelled else None,
    }
    return RunSpec(
        run="run",
        spec={"dataset": DATASET, **named, **spec},
        data=_folder(folder / "data", TARGET),
        source_data=_folder(folder / "source", source) if source else None,
        unlabelled_data=_folder(folder / "unlabelled", unlabelled) if unlabelled else None,
        workspace=folder / "work",
        cache=folder / "cache",
        shared_cache=folder / "shared",
    )


def _read(spec: RunSpec, small: Backbone) -> tuple[Inputs, Recorder]:
    recorder = Recorder()
    return read_inputs(spec, small, recorder), recorder


def test_a_job_without_other_images_has_none(small: Backbone, tmp_path: Path) -> None:
    """A strategy would find a source that nobody gave."""
    given, _ = _read(_spec(tmp_path), small)
    assert (given.source, given.unlabelled) == (None, [])
    facts = lineage(_spec(tmp_path / "again"), small, given, small, "linear_probe")
    assert not {"source_dataset", "num_source", "num_unlabelled"} & facts.keys()


def test_a_source_has_its_own_numbers(small: Backbone, tmp_path: Path) -> None:
    """The source's coats would be taught as the target's bags."""
    source = {**ELSEWHERE, "sneaker": _photos("sneaker", 3, "target-test")}
    spec = _spec(tmp_path, source)
    given, _ = _read(spec, small)
    assert given.source is not None
    assert given.source.names == ["coat", "dress", "sneaker"]
    labels = [given.source.names[number] for number in given.source.labels.tolist()]
    assert labels == [image.label for image in given.source.images]
    assert given.labels == ["bag", "sneaker"]
    assert given.features.of(given.source.images).shape == (11, small.record.num_features)
    facts = lineage(spec, small, given, small, "linear_probe")
    assert (facts["source_dataset"], facts["num_source"]) == (SOURCE, 11)
    assert facts["weights_fingerprint"] == small.record.weights_fingerprint


def test_what_the_model_is_tested_on_is_never_learned_from(small: Backbone, tmp_path: Path) -> None:
    """Copies of the held-out photos in another dataset would make the model look perfect."""
    spec = _spec(tmp_path, {**ELSEWHERE, **TARGET}, TARGET, strategy={"type": "mmd"})
    given, recorder = _read(spec, small)
    held_out = {image.sha256 for image in (*given.parts.validation, *given.parts.test)}
    assert held_out
    assert given.source is not None
    for images in (given.source.images, given.unlabelled):
        assert not held_out & {image.sha256 for image in images}
        train = {image.sha256 for image in given.parts.train}
        assert train <= {image.sha256 for image in images}
    told = [data["held_out"] for _, _, data in recorder.events if "held_out" in data]
    assert told == [len(held_out)] * 2


def test_labels_of_unlabelled_images_are_not_looked_at(small: Backbone, tmp_path: Path) -> None:
    """A label that must not be known would be."""
    unlabelled = {"bag": _photos("ankle-boot", 2)}
    unlabelled["sneaker"] = unlabelled["bag"]
    strategy = {"type": "coral"}
    given, recorder = _read(_spec(tmp_path, ELSEWHERE, unlabelled, strategy=strategy), small)
    assert [image.label for image in given.unlabelled] == [None, None]
    assert not recorder.said("conflicting_label")


@pytest.mark.parametrize(
    ("source", "strategy", "code"),
    [
        ({"coat": _photos("coat", 3, "source")}, "l2_sp", ErrorCode.TOO_FEW_IMAGES),
        (ELSEWHERE, "instance_weighting", ErrorCode.LABEL_SPACES_DISJOINT),
        (ELSEWHERE, "dann", ErrorCode.LABEL_SPACES_DISJOINT),
    ],
)
def test_a_source_that_cannot_be_used(
    small: Backbone, tmp_path: Path, source: Files, strategy: str, code: ErrorCode
) -> None:
    """The training would fail in the middle, with words that only we understand."""
    with pytest.raises(EngineError) as caught:
        _read(_spec(tmp_path, source, strategy={"type": strategy}), small)
    assert (caught.value.code, caught.value.param) == (code, "source_dataset")


@pytest.mark.parametrize("strategy", ["linear_probe", "coral", "mmd"])
def test_disjoint_labels_are_welcome_elsewhere(
    small: Backbone, tmp_path: Path, strategy: str
) -> None:
    """Clothes could not teach anything about shoes."""
    given, _ = _read(_spec(tmp_path, ELSEWHERE, strategy={"type": strategy}), small)
    assert given.source is not None
    assert set(given.source.labels.tolist()) == {0, 1}


def test_a_checkpoint_belongs_to_its_source(small: Backbone, tmp_path: Path) -> None:
    """A run would go on from a training on other images."""
    one, other = _spec(tmp_path / "one", ELSEWHERE), _spec(tmp_path / "other", ELSEWHERE)
    before = identity(one, small, _read(one, small)[0])
    assert identity(other, small, _read(other, small)[0]) == before
    next((tmp_path / "other" / "source" / "coat").iterdir()).unlink()
    assert identity(other, small, _read(other, small)[0]) != before
    tuned = small._replace(own_weights="0" * 64)
    assert identity(one, tuned, _read(one, small)[0]) != before


@pytest.mark.parametrize("field", ["source_dataset", "unlabelled_dataset"])
def test_what_is_named_lies_somewhere(tmp_path: Path, field: str) -> None:
    """A run would quietly do without what its spec promises."""
    whole = _spec(tmp_path, ELSEWHERE, {"x": _photos("bag", 1)}, strategy={"type": "mmd"})
    values = whole.model_dump(mode="json")
    values[field.replace("dataset", "data")] = None
    with pytest.raises(ValidationError, match=field.replace("dataset", "data")):
        RunSpec.model_validate(values)
    values = {**whole.model_dump(mode="json"), "base_model": None}
    values["spec"]["base"] = {"model": "md_" + DATASET[3:]}
    with pytest.raises(ValidationError, match="base_model"):
        RunSpec.model_validate(values)
