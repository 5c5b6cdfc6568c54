"""The quality a merchant reads, against scikit-learn's numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from worker.engine.evaluate import Answers, calibration_error, gain, metrics


@settings(deadline=None)
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
    for top, share in ((3, found.top3), (5, found.top5)):
        if num_classes > top:
            expected_share = top_k_accuracy_score(truth, logits, k=top, labels=numbers)
            assert share == pytest.approx(expected_share)
        else:
            assert share is None
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found.log_loss_uncalibrated == pytest.approx(log_loss(truth, chances, labels=numbers))
    if num_images < 20:
        assert found.ece_uncalibrated is None
    else:
        assert found.ece_uncalibrated == pytest.approx(_ece(chances, truth), abs=1e-9)


def _ece(chances: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return Naeini's error by its definition: a loop over 15 bins."""
    confidence, guessed = chances.max(axis=1), chances.argmax(axis=1)
    total = 0.0
    for number in range(15):
        inside = (confidence > number / 15) & (confidence <= (number + 1) / 15)
        if inside.any():
            gap = abs((guessed == truth)[inside].mean() - confidence[inside].mean())
            total += inside.mean() * gap
    return float(total)


def test_no_images_have_no_metrics() -> None:
    """A job without held-out images would report an accuracy of nothing."""
    assert metrics(["a", "b"], torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2)) is None


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    """The dashboard's calibration figure would mislead those who set thresholds by it."""
    chances = torch.tensor([[0.9, 0.1]] * 10 + [[0.4, 0.6]] * 10)
    truth = torch.tensor([0] * 7 + [1] * 3 + [1] * 6 + [0] * 4)
    assert calibration_error(chances, truth) == pytest.approx((0.2 * 10 + 0.0 * 10) / 20, abs=1e-6)


def test_calibrated_figures_are_reported_only_where_there_is_a_calibration() -> None:
    """An invented calibration would be worse than none."""
    truth, logits = torch.tensor([0, 1] * 10), torch.tensor([[9.0, 0.0]] * 20)
    answers = Answers(logits / 20, torch.ones(20).bool(), [0.5, None])
    plain, warm = metrics(["a", "b"], truth, logits), metrics(["a", "b"], truth, logits, answers)
    assert plain is not None
    assert warm is not None
    assert (plain.ece, plain.log_loss, plain.abstention) == (None, None, None)
    assert warm.ece is not None
    assert warm.log_loss is not None
    assert plain.ece_uncalibrated == warm.ece_uncalibrated
    assert warm.ece < (plain.ece_uncalibrated or 0)
    assert warm.log_loss < (plain.log_loss_uncalibrated or 0)


def test_abstention_is_measured_on_what_is_answered() -> None:
    """Whoever automates the answers would plan with the accuracy of all images."""
    truth = torch.tensor([0, 0, 1, 1, 1])
    guessed = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 1, 0]), 2).float()
    answered = torch.tensor([True, True, True, False, False])
    found = metrics(["a", "b"], truth, guessed, Answers(None, answered, [0.7, 0.8]))
    assert found is not None
    assert found.abstention is not None
    assert found.abstention.num_answered == 3
    assert found.abstention.coverage == pytest.approx(0.6)
    assert found.abstention.accuracy == pytest.approx(2 / 3)
    a, b = found.per_class
    assert (a.threshold, a.num_answered, a.precision_answered) == (0.7, 1, 1.0)
    assert (b.threshold, b.num_answered, b.precision_answered) == (0.8, 2, 0.5)
    none = metrics(["a", "b"], truth, guessed, Answers(None, answered & False, [None, None]))
    assert none is not None
    assert none.abstention is not None
    assert (none.abstention.coverage, none.abstention.accuracy) == (0, None)


def test_gain_counts_points_on_the_same_images() -> None:
    """The headline of the demo would be wrong."""
    truth = torch.tensor([0, 0, 1, 1])
    right = torch.nn.functional.one_hot(truth, 2).float()
    found = gain(truth, right, torch.tensor([[1.0, 0.0]] * 4))
    assert found.points == 50
    assert found.interval[0] < 50 < found.interval[1]
