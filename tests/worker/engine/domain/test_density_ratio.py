"""The density ratio recovers a ratio that is known."""

import pytest
import torch

from worker.engine.domain.density_ratio import density_ratio

pytestmark = pytest.mark.usefixtures("one_thread")


def _points(count: int, mean: float, seed: int) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, generator=chance, dtype=torch.float64) + mean


def test_two_gaussians_give_their_true_ratio() -> None:
    """Source images would count for what they are not; N(1, 1) / N(0, 1) is exp(x - 1/2)."""
    source, target = _points(2000, 0.0, 0), _points(1000, 1.0, 1)
    found = density_ratio(source, target)
    true = (source[:, 0] - 0.5).exp()
    common = source[:, 0].abs() < 2
    assert float((found / true).log()[common].abs().max()) < 0.2
    assert 0.9 < float(found.mean()) < 1.1


def test_one_domain_twice_weighs_all_alike() -> None:
    """Noise would be taken for a shift."""
    found = density_ratio(_points(400, 0.0, 2), _points(400, 0.0, 3))
    assert float(found.log().abs().max()) < 0.3


def test_a_points_own_noise_does_not_set_its_weight() -> None:
    """In many dimensions a classifier knows its training points by heart: all would weigh 0."""
    chance = torch.Generator().manual_seed(4)
    points = torch.randn(60, 200, generator=chance, dtype=torch.float64) / 200**0.5
    found = density_ratio(points[:40], points[40:])
    assert float(found.log().abs().mean()) < 0.7


def test_the_same_points_give_the_same_bits() -> None:
    """A repeated job would deliver another model."""
    source, target = _points(50, 0.0, 5), _points(20, 1.0, 6)
    assert torch.equal(density_ratio(source, target), density_ratio(source, target))
