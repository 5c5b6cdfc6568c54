"""LogME is its published formula, and ranks features as their use does."""

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.engine.strategies.planner.ranking import log_me


def _features(count: int, width: int, signal: float) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(count + width)
    labels = torch.arange(count) % 4
    centres = torch.randn(4, width, generator=chance)
    return signal * centres[labels] + torch.randn(count, width, generator=chance), labels


def _evidence(features: np.ndarray, target: np.ndarray, alpha: float, beta: float) -> float:
    """The log evidence of Bayesian linear regression (Bishop 2006, equation 3.86), per image."""
    count, width = features.shape
    precision = alpha * np.eye(width) + beta * features.T @ features
    mean = beta * np.linalg.solve(precision, features.T @ target)
    error = beta / 2 * ((target - features @ mean) ** 2).sum() + alpha / 2 * (mean**2).sum()
    _, determinant = np.linalg.slogdet(precision)
    terms = width / 2 * np.log(alpha) + count / 2 * np.log(beta) - count / 2 * np.log(2 * np.pi)
    return float((terms - error - determinant / 2) / count)


def _maximum(features: np.ndarray, target: np.ndarray) -> float:
    """The largest evidence over a fine grid of both precisions, found without any fixed point."""
    grid = np.logspace(-2, 4, 49)
    return max(_evidence(features, target, a, b) for a in grid for b in grid)


@pytest.mark.parametrize(("count", "width"), [(60, 5), (12, 20)])
def test_it_is_the_maximum_of_the_evidence(count: int, width: int) -> None:
    """A wrong term would still give numbers, and rank backbones by chance."""
    features, labels = _features(count, width, 1.0)
    targets = np.eye(4)[labels.numpy()]
    exact = features.numpy().astype(np.float64)
    expected = np.mean([_maximum(exact, one) for one in targets.T])
    assert log_me(features, labels, 4) == pytest.approx(expected, abs=5e-3)


def test_features_that_tell_the_classes_rank_higher() -> None:
    """The worst backbone would be chosen."""
    scores = [log_me(*_features(80, 16, signal), 4) for signal in (0.0, 0.5, 2.0)]
    assert scores == sorted(scores)
