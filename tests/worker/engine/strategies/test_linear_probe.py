"""The linear probe chooses its penalty well, reproducibly, and copes with tiny sets."""

import pytest
import torch

from regraft.contract.errors import ErrorCode
from regraft.contract.job import Hyperparameters
from tests.worker.engine.recorder import Recorder
from worker.engine.context import RunCancelledError
from worker.engine.data import Image
from worker.engine.failures import EngineError
from worker.engine.features import Features
from worker.engine.splits import folds
from worker.engine.strategies.linear_probe import (
    DEFAULT_PENALTY,
    GRID,
    Material,
    Solved,
    solve_head,
)

AUTO = Hyperparameters()


def _material(features: Features, images: list[Image], num_each: int) -> Material:
    """Return `num_each` images of each class of the sample."""
    names = sorted({image.label or "" for image in images})
    kept = [
        image
        for name in names
        for image in [image for image in images if image.label == name][:num_each]
    ]
    labels = torch.tensor([names.index(image.label or "") for image in kept])
    return Material(features.of(kept), labels, torch.tensor(folds(kept, 0)), len(names))


def _fit(
    material: Material, wanted: Hyperparameters = AUTO, recorder: Recorder | None = None
) -> Solved:
    return solve_head(material, wanted, recorder or Recorder())


def test_the_choice_is_one_of_the_grid_with_reasons(
    features: Features, images: list[Image]
) -> None:
    """A merchant could not see what was tried, or why this one was taken."""
    recorder = Recorder()
    fitted = _fit(_material(features, images, 24), AUTO, recorder)
    penalties = [one.hyperparameters["weight_decay"] for one in fitted.candidates]
    assert penalties == list(GRID)
    (chosen,) = [one for one in fitted.candidates if one.chosen]
    top = max(one.score or 0 for one in fitted.candidates)
    assert chosen.score is not None
    assert chosen.score >= top - (top * (1 - top) / 96) ** 0.5
    assert chosen.score_interval is not None
    assert chosen.score_interval[0] < chosen.score < chosen.score_interval[1]
    assert chosen.score > 0.85
    assert all(one.reason for one in fitted.candidates)
    assert recorder.values["cv_accuracy"] == [one.score for one in fitted.candidates]
    assert recorder.at["cv_accuracy"] == list(range(len(GRID)))


def test_out_of_fold_scores_are_those_of_models_that_never_saw_the_image(
    features: Features, images: list[Image]
) -> None:
    """Cross-validation that leaks promises what the model cannot keep."""
    material = _material(features, images, 24)
    shuffled = material.labels[torch.randperm(96, generator=torch.Generator().manual_seed(0))]
    fitted = _fit(material._replace(labels=shuffled))
    assert max(one.score or 0 for one in fitted.candidates) < 0.45


def test_a_given_penalty_is_taken(features: Features, images: list[Image]) -> None:
    """A user's own choice would be ignored."""
    fitted = _fit(_material(features, images, 10), Hyperparameters(weight_decay=0.03))
    (only,) = fitted.candidates
    assert (only.hyperparameters, only.chosen) == ({"weight_decay": 0.03}, True)
    assert only.score is not None


def test_one_image_of_each_class_takes_the_default(features: Features, images: list[Image]) -> None:
    """A one-shot job would fail."""
    fitted = _fit(_material(features, images, 1))
    (only,) = fitted.candidates
    assert (only.hyperparameters, only.score) == ({"weight_decay": DEFAULT_PENALTY}, None)
    assert fitted.head.temperature is None


def test_fewer_images_than_folds_are_cross_validated_all_the_same(
    features: Features, images: list[Image]
) -> None:
    """Few-shot jobs, the reason for the product, would choose blindly."""
    fitted = _fit(_material(features, images, 2))
    assert len(fitted.candidates) == len(GRID)
    assert all(one.score is not None for one in fitted.candidates)


def test_two_fits_are_the_same_to_the_bit(features: Features, images: list[Image]) -> None:
    """A repeated job would deliver another model."""
    material = _material(features, images, 15)
    first, second = _fit(material), _fit(material)
    assert torch.equal(first.head.weight, second.head.weight)
    assert first.head.temperature == second.head.temperature


def test_a_cancel_ends_it_and_a_stop_keeps_a_model(features: Features, images: list[Image]) -> None:
    """Either wish would wait until training is over."""
    material = _material(features, images, 15)
    with pytest.raises(RunCancelledError):
        _fit(material, AUTO, Recorder(cancel_in="training"))
    stopped = Recorder(stop_in="training")
    stopped.progress("training", 0.6)
    head = _fit(material, AUTO, stopped).head
    right = (head.logits(material.features).argmax(dim=1) == material.labels).double().mean()
    assert right > 0.6


def test_numbers_that_are_not_finite_are_called_diverged(
    features: Features, images: list[Image]
) -> None:
    """A model of NaN would be delivered."""
    material = _material(features, images, 5)
    broken = material.features.clone()
    broken[0, 0] = torch.nan
    with pytest.raises(EngineError) as caught:
        _fit(material._replace(features=broken))
    assert caught.value.code is ErrorCode.DIVERGED
