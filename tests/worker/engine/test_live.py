"""The live model is measured on the same held-out images, whatever labels it knows."""

from pathlib import Path

import pytest

from tests.worker.engine.conftest import TrainedRun
from tests.worker.engine.recorder import Recorder
from worker.engine.data import Image, load
from worker.engine.features import Features
from worker.engine.inputs import Inputs
from worker.engine.live import live_quality
from worker.engine.runspec import BaseModelFile, RunSpec
from worker.engine.splits import Split, split


@pytest.fixture
def given(trained: TrainedRun, features: Features) -> Inputs:
    """What the trained run was given, by its own rule of holding out."""
    parts = split(_images(trained), 0.2, 0)
    return Inputs(parts, features, trained.result.done.labels, source=None, unlabelled=[], leaks={})


def _images(trained: TrainedRun) -> list[Image]:
    return load(trained.spec.data)


def _with_live(trained: TrainedRun, path: Path) -> RunSpec:
    live = BaseModelFile(backbone="efficientnet_lite0", weights=path)
    return trained.spec.model_copy(update={"live_model": live})


def test_a_model_does_as_well_as_its_own_report_says(trained: TrainedRun, given: Inputs) -> None:
    """The new model would be set against a figure that the old one never had."""
    spec = _with_live(trained, trained.folder / "model.safetensors")
    found, reported = live_quality(spec, given, Recorder()), trained.result.done.metrics.validation
    assert found is not None
    assert reported is not None
    assert found.confusion_matrix == reported.confusion_matrix


def test_labels_it_does_not_know_are_mistakes(trained: TrainedRun, given: Inputs) -> None:
    """A model of other products would look as if it knew the new ones."""
    spec = _with_live(trained, trained.folder / "model.safetensors")
    renamed = {"bag": "handbag"}
    images = [
        image._replace(label=renamed.get(image.label or "", image.label))
        for image in given.parts.validation
    ]
    labels = sorted({str(image.label) for image in images})
    parts = Split(given.parts.train, images, [])
    found = live_quality(spec, given._replace(parts=parts, labels=labels), Recorder())
    assert found is not None
    assert found.confusion_matrix.labels == [*labels, "bag"]
    by_label = {one.label: one for one in found.per_class}
    assert by_label["handbag"].recall == 0
    assert by_label["sandal"].recall


def test_one_that_cannot_be_read_is_said_and_left_out(
    trained: TrainedRun, given: Inputs, tmp_path: Path
) -> None:
    """The job that is to replace a broken model would fail because that is broken."""
    broken = tmp_path / "model.safetensors"
    broken.write_bytes(b"no tensors")
    recorder = Recorder()
    assert live_quality(_with_live(trained, broken), given, recorder) is None
    assert recorder.said("The live model was not compared")
    assert live_quality(trained.spec, given, recorder) is None
