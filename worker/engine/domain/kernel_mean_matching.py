"""Kernel mean matching: weights that move the source's mean onto the target's. May import torch."""

import torch
from torch import Tensor

from worker.engine.domain.mmd import median_distance, squared_distances

_CHUNK = 2048  # source points matched at once
_MAX_STEPS = 2000
_TOLERANCE = 1e-6
_HALVINGS = 60


def kernel_mean_matching(source: Tensor, target: Tensor, max_weight: float) -> Tensor:
    """Return weights [n] of source points [n, d] for a target of [m, d] (Huang et al. 2007).

    They minimise w^T K w / 2 - k^T w with K the source's Gaussian kernel and k_i = n / m times
    the sum of kernels with the target, subject to 0 <= w <= `max_weight` and
    |mean(w) - 1| <= (sqrt(n) - 1) / sqrt(n). The kernel's width is the median squared distance
    of all points. More than 2048 source points are matched in interleaved parts, each alone
    (Miao et al. 2015, ensemble KMM).
    """
    num_parts = -(-len(source) // _CHUNK)
    weights = source.new_zeros(len(source))
    for start in range(num_parts):
        part = source[start::num_parts]
        weights[start::num_parts] = solved(*problem(part, target), max_weight)
    return weights


def problem(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return K [n, n] and k [n] of the quadratic programme."""
    both = torch.cat([source, target])[: 2 * _CHUNK]
    width = median_distance(squared_distances(both, both))
    kernel = torch.exp(-squared_distances(source, source) / width)
    pull = torch.exp(-squared_distances(source, target) / width).mean(dim=1) * len(source)
    return kernel, pull


def solved(kernel: Tensor, pull: Tensor, max_weight: float) -> Tensor:
    """Return the minimiser by accelerated projected gradient, FISTA (Beck & Teboulle 2009).

    It starts at all ones and ends when a step moves no weight by more than 1e-6, or after 2000.
    """
    count = len(pull)
    slack = (count**0.5 - 1) / count**0.5
    bounds = (count * (1 - slack), count * (1 + slack))
    step = 1 / float(kernel.sum(dim=1).max())
    weights = ahead = torch.ones_like(pull)
    momentum = 1.0
    for _ in range(_MAX_STEPS):
        moved = projected(ahead - step * (kernel @ ahead - pull), max_weight, bounds)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        change = moved - weights
        ahead = moved + (momentum - 1) / following * change
        weights, momentum = moved, following
        if float(change.abs().max()) <= _TOLERANCE:
            break
    return weights


def projected(point: Tensor, max_weight: float, bounds: tuple[float, float]) -> Tensor:
    """Return the nearest point of the box [0, max_weight]^n whose sum lies within `bounds`.

    It is the box's projection of the point shifted by one number, found by bisection.
    """
    inside = point.clamp(0, max_weight)
    total = float(inside.sum())
    goal = min(max(total, bounds[0]), bounds[1])
    if total == goal:
        return inside
    low, high = float(point.min()) - max_weight, float(point.max())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if float((point - middle).clamp(0, max_weight).sum()) > goal:
            low = middle
        else:
            high = middle
    return (point - high).clamp(0, max_weight)
