"""Whole runs of the strategies that learn from a source, from folders to files."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from tests.worker.engine.recorder import Recorder
from worker.engine.failures import EngineError
from worker.engine.runner import Result, run
from worker.engine.runspec import DataSource, RunSpec

pytestmark = pytest.mark.usefixtures("one_thread", "_small_pictures")

OBJECTS = Path(__file__).parents[4] / "samples" / "objects"
SAME = ("bird", "fruit", "tool")
OVERLAPPING = ("bird", "fruit", "vehicle")
DISJOINT = ("flower", "mammal")


@pytest.fixture
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default backbone on pictures of 64 pixels: quick, with its real weights."""
    record = BACKBONES["efficientnet_lite0"]
    small = record._replace(input_size=64, resize=72)
    monkeypatch.setitem(BACKBONES, record.name, small)


def _folder(part: str, labels: Sequence[str], each: int, folder: Path) -> DataSource:
    for label in labels:
        (folder / label).mkdir(parents=True)
        for path in sorted((OBJECTS / part / label).iterdir())[:each]:
            shutil.copy(path, folder / label)
    return DataSource(folder=folder)


def _run(
    folder: Path, source: Sequence[str], recorder: Recorder, strategy: dict[str, Any]
) -> Result:
    """Learn photos of three classes with drawings of `source` and photos without labels."""
    takes_unlabelled = strategy["type"] != "instance_weighting"
    unlabelled = _folder("target-test", SAME, 2, folder / "unlabelled")
    spec: dict[str, Any] = {
        "dataset": new_id("ds"),
        "source_dataset": new_id("ds"),
        "unlabelled_dataset": new_id("ds") if takes_unlabelled else None,
        "strategy": strategy,
        "hyperparameters": {"epochs": 1, "batch_size": 4} if takes_unlabelled else {},
        "exports": [],
    }
    return run(
        RunSpec.model_validate(
            {
                "run": "run",
                "spec": {name: value for name, value in spec.items() if value is not None},
                "data": _folder("target", SAME, 4, folder / "target"),
                "source_data": _folder("source", source, 4, folder / "source"),
                "unlabelled_data": unlabelled if takes_unlabelled else None,
                "workspace": folder / "work",
                "cache": folder / "cache",
                "shared_cache": folder / "shared",
            }
        ),
        recorder,
    )


@pytest.mark.parametrize(
    "strategy",
    [
        {"type": "instance_weighting"},
        {"type": "instance_weighting", "weighting": "kmm"},
        {"type": "instance_weighting", "weighting": "density_ratio"},
        {"type": "coral"},
        {"type": "mmd"},
        {"type": "dann"},
    ],
    ids=lambda one: "-".join(one.values()),
)
def test_drawings_help_to_learn_photos_of_the_same_classes(
    tmp_path: Path, strategy: dict[str, Any]
) -> None:
    """The strategy would work in its own test and nowhere else."""
    recorder = Recorder()
    done = _run(tmp_path, SAME, recorder, strategy).done
    assert done.labels == list(SAME)
    assert done.metrics.validation is not None
    assert done.transfer.baseline is not None
    assert {one.strategy for one in done.transfer.candidates} >= {strategy["type"]}
    assert any(one.chosen for one in done.transfer.candidates)


def test_other_drawings_train_the_backbone_with_a_head_of_their_own(tmp_path: Path) -> None:
    """A source of other products would be refused where it can be used."""
    done = _run(tmp_path, DISJOINT, Recorder(), {"type": "coral"}).done
    assert done.labels == list(SAME)
    tried = {one.strategy: one for one in done.transfer.candidates}
    assert tried["coral"].hyperparameters["source_images"] == 8


def test_of_overlapping_classes_the_shared_ones_are_used(tmp_path: Path) -> None:
    """Vehicles would be pulled onto tools, and nobody told."""
    recorder = Recorder()
    done = _run(tmp_path, OVERLAPPING, recorder, {"type": "coral"}).done
    assert recorder.said("8 of its 12 images are of shared classes")
    assert done.labels == list(SAME)


@pytest.mark.parametrize("name", ["instance_weighting", "dann"])
def test_what_needs_shared_classes_says_so(tmp_path: Path, name: str) -> None:
    """The job would train on nothing."""
    with pytest.raises(EngineError) as caught:
        _run(tmp_path, DISJOINT, Recorder(), {"type": name})
    assert caught.value.code is ErrorCode.LABEL_SPACES_DISJOINT
    assert caught.value.param == "source_dataset"
