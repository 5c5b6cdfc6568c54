"""Maximum mean discrepancy: how far apart two sets' means lie under kernels. May import torch."""

import torch
from torch import Tensor

_SPREAD = 2  # powers of two to each side of the median
NUM_KERNELS = 2 * _SPREAD + 1


def multi_kernel_mmd(source: Tensor, target: Tensor) -> Tensor:
    """Return the squared MMD of features [n, d] and [m, d] under the mean of five kernels.

    Gaussian kernels exp(-||x - y||^2 / s) with s = 2^k times the median squared distance among
    all rows, k from -2 to 2, all of one weight: the family of DAN (Long et al. 2015), whose
    kernel weights are learned. The biased estimate of Gretton et al. 2012: never negative, and 0
    for two equal sets. 0 where a set is empty. No gradient flows through the median.
    """
    if min(len(source), len(target)) == 0:
        return (source.sum() + target.sum()) * 0
    rows = torch.cat([source, target])
    distances = squared_distances(rows, rows)
    median = median_distance(distances)
    kernels = torch.stack(
        [torch.exp(-distances / (median * 2.0**power)) for power in range(-_SPREAD, _SPREAD + 1)]
    ).mean(dim=0)
    count = len(source)
    within = kernels[:count, :count].mean() + kernels[count:, count:].mean()
    return within - kernels[:count, count:].mean() - kernels[count:, :count].mean()


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Return ||x - y||^2 for rows x of [n, d] and y of [m, d], as [n, m].

    Measured from the mean of all: far from the origin the short formula would lose its digits.
    """
    middle = torch.cat([first, second]).detach().mean(dim=0)
    first, second = first - middle, second - middle
    lengths = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1)[None, :]
    return (lengths - 2 * first @ second.T).clamp_min(0)


def median_distance(distances: Tensor) -> Tensor:
    """Return the median of squared distances [n, n] of different rows, above 0, no gradient."""
    count = len(distances)
    above = torch.triu(torch.ones_like(distances, dtype=torch.bool), diagonal=1)
    found = distances.detach()[above] if count > 1 else distances.detach().flatten()
    return found.median().clamp_min(torch.finfo(distances.dtype).eps)
