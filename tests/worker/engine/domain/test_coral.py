"""CORAL is the published formula, by way of products of rows."""

import numpy as np
import pytest
import torch

from worker.engine.domain.coral import coral


def _sets(count: int, other: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(count)
    first = torch.randn(count, width, generator=chance, dtype=torch.float64)
    return first, 3 * torch.randn(other, width, generator=chance, dtype=torch.float64) + 1


@pytest.mark.parametrize(("count", "other", "width"), [(5, 7, 3), (4, 4, 50), (2, 9, 1)])
def test_it_is_the_distance_of_numpys_covariances(count: int, other: int, width: int) -> None:
    """The objective would be another than the published one, by a factor or a centring."""
    source, target = _sets(count, other, width)
    first = np.atleast_2d(np.cov(source.numpy(), rowvar=False))
    second = np.atleast_2d(np.cov(target.numpy(), rowvar=False))
    expected = np.sum((first - second) ** 2) / (4 * width**2)
    assert float(coral(source, target)) == pytest.approx(expected, rel=1e-10)


def test_a_set_is_at_no_distance_from_itself() -> None:
    """Training would go on pulling at domains that agree; nor may the mean matter."""
    source, _ = _sets(20, 2, 8)
    assert float(coral(source, source)) == 0
    assert float(coral(source, source + 5)) < 1e-15


def test_its_gradient_is_that_of_the_covariances() -> None:
    """The short way would descend on another surface."""
    source, target = _sets(6, 5, 4)
    source.requires_grad_()
    (found,) = torch.autograd.grad(coral(source, target), source)
    distance = torch.cov(source.T) - torch.cov(target.T)
    (expected,) = torch.autograd.grad(distance.square().sum() / (4 * 4**2), source)
    assert torch.allclose(found, expected)


def test_one_row_has_no_covariance() -> None:
    """A batch that memory cut down to one image would end the training with a NaN."""
    source, target = _sets(6, 1, 4)
    source.requires_grad_()
    loss = coral(source, target)
    assert loss.item() == 0
    assert torch.equal(torch.autograd.grad(loss, source)[0], torch.zeros_like(source))
