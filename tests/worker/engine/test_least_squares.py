"""Least squares are what their formula says, whichever way round they are solved."""

import numpy as np
import pytest
import torch

from worker.engine.failures import EngineError
from worker.engine.least_squares import LeastSquares


def _data(count: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(count)
    labels = torch.arange(count) % 3
    features = torch.randn(count, width, generator=chance) * 3 + labels[:, None]
    return features, labels


@pytest.mark.parametrize(("count", "width"), [(12, 40), (60, 8), (20, 20)])
@pytest.mark.parametrize("strength", [0.1, 3.0])
def test_it_is_ridge_regression_on_scaled_features(count: int, width: int, strength: float) -> None:
    """Fewer images than features are solved in the dual, and would give another head."""
    features, labels = _data(count, width)
    exact = features.numpy().astype(np.float64)
    spread = exact.std(axis=0)
    scaled = (exact - exact.mean(axis=0)) / (spread + spread.mean())
    targets = np.eye(3)[labels.numpy()]
    ridge = strength * (scaled**2).sum(axis=1).mean()
    system = scaled.T @ scaled + ridge * np.eye(width)
    weight = np.linalg.solve(system, scaled.T @ (targets - targets.mean(axis=0)))
    expected = scaled @ weight + targets.mean(axis=0)
    found = LeastSquares(features, labels, 3).head(strength).logits(features)
    assert np.allclose(found.numpy(), expected, atol=1e-4)


def test_features_without_any_spread_give_a_finite_head() -> None:
    """A set of equal pictures would end in NaN."""
    head = LeastSquares(torch.ones(6, 4), torch.arange(6) % 2, 2).head(0.3)
    assert bool(head.logits(torch.ones(1, 4)).isfinite().all())


def test_features_that_are_no_numbers_are_refused() -> None:
    """A head of NaN would be delivered."""
    with pytest.raises(EngineError):
        LeastSquares(torch.full((4, 2), torch.nan), torch.arange(4) % 2, 2)
