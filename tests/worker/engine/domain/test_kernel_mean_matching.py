"""Kernel mean matching solves its quadratic programme, and leaves equal samples alone."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from worker.engine.domain import kernel_mean_matching as kmm

_minimise: Any = optimize.minimize

pytestmark = pytest.mark.usefixtures("one_thread")


def _points(count: int, shift: float, seed: int) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=chance, dtype=torch.float64) + shift


def _objective(weights: Tensor, kernel: Tensor, pull: Tensor) -> float:
    return float(weights @ kernel @ weights / 2 - pull @ weights)


def test_identical_samples_weigh_alike() -> None:
    """A source that is the target would be bent for no reason."""
    points = _points(50, 0.0, 0)
    found = kmm.kernel_mean_matching(points, points, 10.0)
    assert torch.allclose(found, torch.ones(50, dtype=torch.float64), atol=1e-6)


def test_it_ends_where_scipy_does() -> None:
    """The weights would be those of a descent that gave up; equal weights would do as well."""
    source, target = _points(24, 0.0, 1), _points(16, 0.8, 2)
    kernel, pull = kmm.problem(source, target)
    found = kmm.solved(kernel, pull, 4.0)
    slack = (24**0.5 - 1) / 24**0.5
    oracle = _minimise(
        lambda w: w @ kernel.numpy() @ w / 2 - pull.numpy() @ w,
        np.ones(24),
        jac=lambda w: kernel.numpy() @ w - pull.numpy(),
        bounds=[(0, 4.0)] * 24,
        constraints=[
            {"type": "ineq", "fun": lambda w: 24 * slack - (w.sum() - 24)},
            {"type": "ineq", "fun": lambda w: 24 * slack + (w.sum() - 24)},
        ],
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    ours = _objective(found, kernel, pull)
    assert ours == pytest.approx(oracle.fun, rel=1e-5)
    assert ours < _objective(torch.ones(24, dtype=torch.float64), kernel, pull) - 0.1


def test_the_solution_keeps_its_bounds_and_has_no_way_downhill() -> None:
    """The conditions of Karush, Kuhn and Tucker: else it is no minimum."""
    source, target = _points(40, 0.0, 3), _points(30, 1.0, 4)
    kernel, pull = kmm.problem(source, target)
    found = kmm.solved(kernel, pull, 2.0)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 2.0
    assert abs(float(found.mean()) - 1) <= (40**0.5 - 1) / 40**0.5 + 1e-9
    slope = kernel @ found - pull
    inner = (found > 1e-4) & (found < 2.0 - 1e-4)
    assert bool(inner.any())
    # The sum is free here, so an inner weight's slope is 0, and the others' point outwards.
    assert float(slope[inner].abs().max()) < 1e-3
    assert float(slope[found <= 1e-4].min()) > -1e-3
    assert float(slope[found >= 2.0 - 1e-4].max()) < 1e-3


def test_points_where_the_target_lies_weigh_more() -> None:
    """The mean would be moved the wrong way."""
    source, target = _points(300, 0.0, 5), _points(100, 1.0, 6)
    found = kmm.kernel_mean_matching(source, target, 10.0)
    moved = (found[:, None] * source).sum(dim=0) / found.sum()
    assert float((moved - 1).norm()) < 0.5 * float((source.mean(dim=0) - 1).norm())


def test_a_large_source_is_matched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of all pairs of a large catalogue would not fit into memory."""
    source, target = _points(301, 0.0, 5), _points(100, 1.0, 6)
    whole = kmm.kernel_mean_matching(source, target, 10.0)
    monkeypatch.setattr(kmm, "_CHUNK", 110)
    parts = kmm.kernel_mean_matching(source, target, 10.0)
    assert parts.shape == whole.shape
    alike = np.corrcoef(parts.numpy(), whole.numpy())[0, 1]
    assert alike > 0.5


@pytest.mark.parametrize("bounds", [(0.0, 3.0), (9.0, 11.0), (0.0, 100.0)])
def test_the_projection_is_the_nearest_allowed_point(bounds: tuple[float, float]) -> None:
    """Every step would be bent."""
    point = torch.linspace(-2, 3, 10, dtype=torch.float64)
    found = kmm.projected(point, 2.0, bounds)
    assert bounds[0] - 1e-9 <= float(found.sum()) <= bounds[1] + 1e-9
    chance = torch.Generator().manual_seed(7)
    for _ in range(200):
        other = 2 * torch.rand(10, generator=chance, dtype=torch.float64)
        if bounds[0] <= float(other.sum()) <= bounds[1]:
            assert float((other - point).norm()) >= float((found - point).norm()) - 1e-9
