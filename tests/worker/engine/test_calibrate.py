"""Temperatures and thresholds: found on images that were not learned from, judged on others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from worker.engine.adapted import Adapted, LeftOut
from worker.engine.backbone import Backbone
from worker.engine.calibrate import MIN_ANSWERED, calibrated, quality, thresholds
from worker.engine.data import Image
from worker.engine.features import Features
from worker.engine.head import Head
from worker.engine.inputs import Inputs
from worker.engine.splits import Split

LABELS = ["bag", "boot", "shoe"]


def _images(count: int, start: int, group: str | None = None) -> list[Image]:
    return [
        Image(f"{start + n:064x}", f"{start + n}.png", LABELS[n % 3], group, None, Path("x"), 0, 0)
        for n in range(count)
    ]


def _given(num_validation: int, num_test: int, group: str | None = None) -> Inputs:
    """Return held-out images; their features are the logits of an overconfident model."""
    validation, test = _images(num_validation, 0, group), _images(num_test, 10_000)
    chance = torch.Generator().manual_seed(num_validation)
    truth = torch.tensor([LABELS.index(one.label or "") for one in validation + test])
    logits = 2 * torch.nn.functional.one_hot(truth, 3) + torch.randn(
        len(truth), 3, generator=chance
    )
    names = (image.sha256 for image in validation + test)
    rows = dict(zip(names, 4 * logits, strict=True))
    parts = Split([], validation, test)
    return Inputs(parts, Features(rows, {}, {}, 0.0, 0, "key"), LABELS, None, [], {})


def _model(given: Inputs, backbone: Backbone, left_out: LeftOut | None = None) -> Adapted:
    head = Head(torch.eye(3), torch.zeros(3), None)
    return Adapted(backbone, head, given.features, is_frozen=False, left_out=left_out)


def _rows(chances: list[float], right: list[bool]) -> LeftOut:
    """Return images taken for the first of two labels with these probabilities."""
    first = torch.tensor(chances, dtype=torch.float64)
    logits = torch.stack([first.log(), (1 - first).log()], dim=1)
    return LeftOut(logits, torch.tensor([int(not one) for one in right]))


def _lowest(chances: list[float], right: list[bool], precision: float) -> float | None:
    """Return the lowest of all thresholds that reach the precision, by trying each."""
    seen = np.floor(np.array(chances) * 10_000)
    reached = [
        step / 10_000
        for step in sorted(set(seen))
        if (seen >= step).sum() >= MIN_ANSWERED
        and np.array(right)[seen >= step].mean() >= precision - 1e-9
    ]
    return float(reached[0]) if reached else None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(5001, 9999), st.booleans()), max_size=60),
    st.sampled_from([0.5, 0.8, 0.95, 1.0]),
)
def test_a_threshold_is_the_lowest_that_is_precise_enough(
    photos: list[tuple[int, bool]], precision: float
) -> None:
    """Too low breaks the promise, too high gives answers away."""
    chances = [(step + 0.5) / 10_000 for step, _ in photos]
    right = [one for _, one in photos]
    found, other = thresholds(["a", "b"], _rows(chances, right), None, precision)
    assert found.threshold == _lowest(chances, right, precision)
    assert (other.threshold, other.reason) == (None, "too_few_images")
    assert found.num_images == len(photos)
    if found.threshold is None:
        enough = len(photos) >= MIN_ANSWERED
        assert found.reason == ("precision_not_reached" if enough else "too_few_images")
        assert (found.num_answered, found.precision) == (0, None)
        return
    answered = [one for chance, one in zip(chances, right, strict=True) if chance > found.threshold]
    assert found.num_answered == len(answered)
    assert found.precision == pytest.approx(np.mean(answered))
    low, high = found.precision_interval
    assert low <= (found.precision or 0) <= high + 1e-9


def test_few_images_give_no_threshold_however_right_they_are() -> None:
    """Three right answers would look like a precision of 100%."""
    (found, _) = thresholds(["a", "b"], _rows([0.99] * 9, [True] * 9), None, 0.95)
    assert (found.threshold, found.reason) == (None, "too_few_images")
    (found, _) = thresholds(["a", "b"], _rows([0.99] * 10, [True] * 10), None, 0.95)
    assert found.threshold is not None
    assert found.precision_interval[0] < 0.75


def test_a_model_that_left_nothing_out_is_calibrated_on_the_held_out_images(
    backbone: Backbone,
) -> None:
    """A fine-tuned model would ship probabilities that nobody had looked at."""
    given = _given(300, 300)
    model = calibrated(_model(given, backbone), given, 0.95)
    assert model.calibration is not None
    assert (model.calibration.source, model.calibration.num_images) == ("validation", 300)
    assert model.head.temperature == model.calibration.temperature
    for part in ("validation", "test"):
        found = quality(model, given, part)
        assert found is not None
        assert found.ece is not None
        assert found.log_loss is not None
        assert found.ece < (found.ece_uncalibrated or 0)
        assert found.log_loss < (found.log_loss_uncalibrated or 0)
        assert found.abstention is not None
        assert found.abstention.coverage > 0.3
        assert (found.abstention.accuracy or 0) > found.accuracy
        assert (found.abstention.accuracy or 0) > 0.9
        assert [one.threshold for one in found.per_class] == [
            one.threshold for one in model.calibration.thresholds
        ]
    assert calibrated(model, given, 0.5) is model


def test_no_image_is_judged_by_a_calibration_that_saw_it(backbone: Backbone) -> None:
    """The error after calibration would be the one that calibration made small."""
    given = _given(30, 0)
    model = calibrated(_model(given, backbone), given, 0.95)
    before = quality(model, given, "validation")
    assert before is not None
    assert model.calibration is not None
    # What is delivered plays no part: each image is judged by what the others give.
    spoilt = model.calibration.model_copy(update={"temperature": 20.0})
    assert quality(model._replace(calibration=spoilt), given, "validation") == before


@pytest.mark.parametrize(("count", "group"), [(19, None), (60, "one product")])
def test_too_few_or_undivided_images_are_no_calibration(
    count: int, group: str | None, backbone: Backbone
) -> None:
    """A figure from a handful of photos, or of one product, would be taken for knowledge."""
    given = _given(count, 60, group)
    model = calibrated(_model(given, backbone), given, 0.95)
    assert model.calibration is not None
    assert (model.calibration.source, model.calibration.temperature) == (None, None)
    assert {one.reason for one in model.calibration.thresholds} == {"too_few_images"}
    found = quality(model, given, "test")
    assert found is not None
    assert (found.ece, found.log_loss) == (None, None)
    assert found.ece_uncalibrated is not None
    assert found.abstention is not None
    assert found.abstention.num_answered == 0


def test_images_that_were_left_out_serve_first(backbone: Backbone) -> None:
    """The held-out images would be spent on what the training images can tell."""
    given = _given(100, 0)
    rows = given.features.of(given.parts.validation)
    left_out = LeftOut(2 * rows[:40], given.truth(given.parts.validation[:40]))
    model = calibrated(_model(given, backbone, left_out), given, 0.95)
    assert model.calibration is not None
    assert (model.calibration.source, model.calibration.num_images) == ("left_out", 40)
    few = LeftOut(rows[:19], left_out.labels[:19])
    model = calibrated(_model(given, backbone, few), given, 0.95)
    assert model.calibration is not None
    assert model.calibration.source == "validation"


def test_the_test_images_decide_nothing(backbone: Backbone) -> None:
    """Thresholds chosen on the test set would make its figures worthless."""
    given = _given(100, 100)
    rows: dict[str, Tensor] = dict(given.features.rows)
    for image in given.parts.test:
        rows[image.sha256] = -rows[image.sha256]
    other = given._replace(features=given.features._replace(rows=rows))
    ours = calibrated(_model(given, backbone), given, 0.9).calibration
    assert calibrated(_model(other, backbone), other, 0.9).calibration == ours
