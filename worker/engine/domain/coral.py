"""CORAL: the distance between two sets' covariances. May import torch."""

import math

from torch import Tensor

_MIN_ROWS = 2  # of which there is a covariance


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Return ||C_s - C_t||_F^2 / (4 d^2) of features [n, d] and [m, d] (Sun & Saenko 2016).

    C_s and C_t are the sample covariances; 0 where a set has less than two rows. Computed from
    products of rows, n x m numbers in place of d x d: ||C_s||_F^2 = ||X X^T||_F^2 / (n - 1)^2
    for centred X, and <C_s, C_t>_F = ||X Y^T||_F^2 / ((n - 1) (m - 1)).
    """
    if min(len(source), len(target)) < _MIN_ROWS:
        return (source.sum() + target.sum()) * 0
    first, second = _centred(source), _centred(target)
    distance = _product(first, first) + _product(second, second) - 2 * _product(first, second)
    return distance.clamp_min(0) / (4 * source.shape[1] ** 2)


def _centred(rows: Tensor) -> Tensor:
    """Return rows whose products are those of the covariance: centred, over sqrt(n - 1)."""
    return (rows - rows.mean(dim=0)) / math.sqrt(len(rows) - 1)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Return the inner product of two covariances from the centred rows behind them."""
    products: Tensor = first @ second.T
    return products.square().sum()
