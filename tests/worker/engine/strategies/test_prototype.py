"""Prototypes are class means by cosine, whatever a feature's length, and one image is enough."""

from pathlib import Path

import numpy as np
import pytest
import torch

from regraft.contract.errors import ErrorCode
from tests.worker.engine.conftest import MakeSpec
from tests.worker.engine.recorder import Recorder
from worker.engine.context import RunCancelledError
from worker.engine.data import Image
from worker.engine.failures import EngineError
from worker.engine.features import Features
from worker.engine.runner import run
from worker.engine.splits import folds
from worker.engine.strategies.linear_probe import Material
from worker.engine.strategies.prototype import class_prototype, prototype_head

OBJECTS = Path(__file__).parents[4] / "samples" / "objects"


@pytest.fixture
def material(features: Features, images: list[Image]) -> Material:
    names = sorted({image.label or "" for image in images})
    labels = torch.tensor([names.index(image.label or "") for image in images])
    return Material(features.of(images), labels, torch.tensor(folds(images, 0)), len(names))


def test_the_answer_is_the_nearest_class_mean_by_cosine(material: Material) -> None:
    """A linear head cannot divide by an image's length: its order of classes must not need it."""
    x, y = material.features.double().numpy(), material.labels.numpy()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    means = np.stack([unit[y == number].mean(axis=0) for number in range(4)])
    cosines = unit @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    logits = prototype_head(material).logits(material.features).numpy()
    assert np.array_equal(logits.argmax(axis=1), cosines.argmax(axis=1))
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    assert np.allclose(logits * lengths.mean() / lengths, 16 * cosines, atol=1e-3)


def test_a_class_can_be_added_without_the_others(material: Material) -> None:
    """A new product would need every old image again."""
    whole = prototype_head(material).weight
    known = material.labels < 3
    fewer = Material(
        material.features[known], material.labels[known], material.folds[known], num_classes=3
    )
    weight = prototype_head(fewer).weight
    added = class_prototype(material.features[~known]) * weight[0].norm()
    found = torch.cat([weight, added[None]])
    assert torch.allclose(found / found.norm(dim=1)[0], whole / whole.norm(dim=1)[0], atol=1e-5)


def test_features_that_are_not_finite_are_called_diverged(material: Material) -> None:
    """A model of NaN would be delivered."""
    broken = material.features.clone()
    broken[0, 0] = torch.nan
    with pytest.raises(EngineError) as caught:
        prototype_head(material._replace(features=broken))
    assert caught.value.code is ErrorCode.DIVERGED


def test_a_run_on_five_photos_of_each_class(make_spec: MakeSpec, tmp_path: Path) -> None:
    """The strategy for the smallest sets would not hold what few images promise."""
    spec = make_spec(
        tmp_path,
        OBJECTS / "target",
        OBJECTS / "target-test",
        strategy={"type": "prototype"},
        guard="off",
        validation={"fraction": 0.0},
    )
    recorder = Recorder()
    done = run(spec, recorder).done
    assert done.metrics.test is not None
    assert done.metrics.test.accuracy >= 0.80
    assert done.metrics.test.ece is not None
    assert done.metrics.test.ece < 0.15
    (candidate,) = done.transfer.candidates
    assert candidate.score == pytest.approx(0.8, abs=0.15)
    assert recorder.values["parity_photos"][0] < 1e-3


def test_one_photo_of_each_class_and_a_cancel(make_spec: MakeSpec, tmp_path: Path) -> None:
    """One-shot jobs would fail, or claim a score; a cancelled one would go on."""
    for label in ("bird", "tool", "fruit"):
        (tmp_path / "data" / label).mkdir(parents=True)
        first = min((OBJECTS / "target" / label).iterdir())
        (tmp_path / "data" / label / first.name).write_bytes(first.read_bytes())
    chosen = {"strategy": {"type": "prototype"}, "guard": "off", "exports": []}
    spec = make_spec(tmp_path / "run", tmp_path / "data", None, **chosen)
    (candidate,) = run(spec, Recorder()).done.transfer.candidates
    assert candidate.score is None
    with pytest.raises(RunCancelledError):
        run(spec, Recorder(cancel_in="training"))
