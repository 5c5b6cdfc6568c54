"""The mean discrepancy under several kernels is what NumPy makes of the formula."""

import numpy as np
import pytest
import torch

from worker.engine.domain.mmd import multi_kernel_mmd


def _rows(count: int, shift: float, seed: int) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=chance, dtype=torch.float64) + shift


def _by_numpy(source: np.ndarray, target: np.ndarray) -> float:
    """Compute it pair by pair."""
    rows = np.concatenate([source, target])
    distances = np.array([[np.sum((one - other) ** 2) for other in rows] for one in rows])
    pairs = np.sort(distances[np.triu_indices(len(rows), k=1)])
    median = pairs[(len(pairs) - 1) // 2]
    widths = median * 2.0 ** np.arange(-2, 3)
    kernel = np.mean([np.exp(-distances / width) for width in widths], axis=0)
    count = len(source)
    return float(
        kernel[:count, :count].mean()
        + kernel[count:, count:].mean()
        - 2 * kernel[:count, count:].mean()
    )


@pytest.mark.parametrize(("count", "other"), [(5, 8), (1, 4), (12, 12)])
def test_it_is_numpys(count: int, other: int) -> None:
    """The objective would be another than the documented one."""
    source, target = _rows(count, 0.0, 1), _rows(other, 0.7, 2)
    expected = _by_numpy(source.numpy(), target.numpy())
    assert float(multi_kernel_mmd(source, target)) == pytest.approx(expected, rel=1e-9)


def test_equal_sets_are_at_no_distance() -> None:
    """Training would pull at domains that agree."""
    rows = _rows(10, 0.0, 3)
    assert float(multi_kernel_mmd(rows, rows)) == pytest.approx(0, abs=1e-12)
    assert float(multi_kernel_mmd(rows.float(), rows.float())) == pytest.approx(0, abs=1e-6)


def test_it_grows_with_the_shift_and_its_gradient_closes_it() -> None:
    """A discrepancy that does not see a shift aligns nothing."""
    source = _rows(40, 0.0, 4)
    found = [float(multi_kernel_mmd(source, _rows(40, shift, 5))) for shift in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found)
    assert found[0] < 0.1 * found[-1]
    target = _rows(40, 1.0, 5).requires_grad_()
    (slope,) = torch.autograd.grad(multi_kernel_mmd(source, target), target)
    assert float(slope.mean()) > 0


def test_an_empty_set_and_equal_points_give_a_number() -> None:
    """A batch without the rows in question would end the training."""
    rows = _rows(3, 0.0, 6)
    assert float(multi_kernel_mmd(rows, rows[:0])) == 0
    assert float(multi_kernel_mmd(rows[:1], rows[:1])) == 0
