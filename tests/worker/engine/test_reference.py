"""The reference that a training leaves tells real photos like its own from others."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from db.lifecycle.drift import Judgement, Tally
from regraft.contract.drift import FALSE_ALARMS, REFERENCE_FILE
from serve.drift import Reference
from tests.worker.engine.conftest import SAMPLES, TrainedRun
from tests.worker.engine.recorder import Recorder
from worker.engine.backbone import Backbone
from worker.engine.data import load
from worker.engine.inputs import extractor
from worker.engine.reference import written
from worker.engine.runspec import DataSource

OBJECTS = SAMPLES.parent / "objects"


@pytest.fixture
def reference(trained: TrainedRun, backbone: Backbone) -> Reference:
    """What the trained run has left."""
    content = (trained.folder / REFERENCE_FILE).read_bytes()
    return Reference.of(content, backbone.record.num_features)


def _judged(
    trained: TrainedRun, backbone: Backbone, reference: Reference, folder: Path
) -> Judgement:
    """Let the model answer about a folder of images, as traffic."""
    images = load(DataSource(folder=folder))
    features = extractor(trained.spec, backbone, Recorder()).extract(images).of(images).numpy()
    head = load_file(trained.folder / "head.safetensors")
    weight, bias = (head[f"classifier.{part}"] for part in ("weight", "bias"))
    classes = (features @ weight.T + bias).argmax(axis=1)
    sums = reference.deviations(features, classes).sum(axis=0)
    counts = np.bincount(classes, minlength=len(reference.counts))
    return reference.judge(Tally(sums.tolist(), counts.tolist()))


def test_photos_of_the_same_kind_are_no_drift(
    trained: TrainedRun, backbone: Backbone, reference: Reference
) -> None:
    """Every model would warn as soon as it is used."""
    found = _judged(trained, backbone, reference, SAMPLES / "target-test")
    assert not found.drifted
    assert found.p_value > FALSE_ALARMS


@pytest.mark.parametrize("folder", [SAMPLES / "source", OBJECTS / "target"])
def test_pictures_of_another_kind_are(
    trained: TrainedRun, backbone: Backbone, reference: Reference, folder: Path
) -> None:
    """Other styles, or other things altogether, would be answered without a word."""
    found = _judged(trained, backbone, reference, folder)
    assert found.drifted, found


def test_the_file_is_small_and_says_what_it_rests_on(trained: TrainedRun) -> None:
    """A thousand models' references would outweigh their heads."""
    path = trained.folder / REFERENCE_FILE
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    facts = json.loads(content[8 : 8 + length])["__metadata__"]
    assert int(facts["num_images"]) == int(load_file(path)["counts"].sum())
    assert path.stat().st_size < (trained.folder / "head.safetensors").stat().st_size


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_features_that_are_all_alike_leave_none(value: float) -> None:
    """A training would fail at its end over a file that nobody asked for."""
    features = torch.full((200, 576), value)
    assert written(features, np.arange(200) % 4, ["a", "b", "c", "d"]) is None
    features[:, 0] += torch.arange(200) / 100
    assert written(features, np.arange(200) % 4, ["a", "b", "c", "d"]) is not None
