"""The quality a merchant reads, against scikit-learn's numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from worker.engine.evaluate import calibration_error, gain, metrics


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 80))
def test_metrics_are_scikit_learns(seed: int, num_classes: int, num_images: int) -> None:
    """Any wrong count here is a wrong promise to a merchant."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, num_classes, num_images)
    logits = chance.normal(size=(num_images, num_classes)) + 2 * np.eye(num_classes)[truth]
    labels = [f"class{n}" for n in range(num_classes)]
    found = metrics(labels, torch.from_numpy(truth), torch.from_numpy(logits))
    assert found is not None
    guessed, numbers = logits.argmax(axis=1), list(range(num_classes))
    assert found.accuracy == accuracy_score(truth, guessed)
    matrix = confusion_matrix(truth, guessed, labels=numbers)
    assert found.confusion_matrix.counts == matrix.tolist()
    expected = precision_recall_fscore_support(truth, guessed, labels=numbers, zero_division=0)
    for one, precision, recall, f1, support in zip(found.per_class, *expected, strict=True):
        assert one.num_images == support
        assert (one.precision or 0, one.recall or 0, one.f1 or 0) == pytest.approx(
            (precision, recall, f1)
        )
    seen = [n for n in numbers if n in truth or n in guessed]
    assert found.macro_f1 == pytest.approx(expected[2][seen].mean())
    if num_classes > 5:
        top5 = top_k_accuracy_score(truth, logits, k=5, labels=numbers)
        assert found.top5 == pytest.approx(top5)
    else:
        assert found.top5 is None


def test_no_images_have_no_metrics() -> None:
    """A job without held-out images would report an accuracy of nothing."""
    assert metrics(["a", "b"], torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2)) is None


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """The dashboard's calibration figure would mislead those who set thresholds by it."""
    chances = torch.tensor([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    truth = torch.tensor([0] * 7 + [1] * 3 + [1] * 6 + [0] * 4)
    assert calibration_error(chances, truth) == pytest.approx((0.2 * 10 + 0.0 * 10) / 20, abs=1e-6)


def test_a_calibrated_error_is_reported_only_with_a_temperature() -> None:
    """An invented calibration would be worse than none."""
    truth, logits = torch.tensor([0, 1]), torch.tensor([[9.0, 0.0], [9.0, 0.0]])
    plain, warm = metrics(["a", "b"], truth, logits), metrics(["a", "b"], truth, logits, 20.0)
    assert plain is not None
    assert warm is not None
    assert plain.ece is None
    assert warm.ece is not None
    assert plain.ece_uncalibrated is not None
    assert warm.ece < plain.ece_uncalibrated


def test_gain_counts_points_on_the_same_images() -> None:
    """The headline of the demo would be wrong."""
    truth = torch.tensor([0, 0, 1, 1])
    right = torch.nn.functional.one_hot(truth, 2).float()
    found = gain(truth, right, torch.tensor([[1.0, 0.0]] * 4))
    assert found.points == 50
    assert found.interval[0] < 50 < found.interval[1]
