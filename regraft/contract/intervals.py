"""Confidence intervals for proportions and for differences of proportions.

May import the standard library.
"""

from math import sqrt

Z95 = 1.959963984540054


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95% score interval of a proportion (Wilson 1927); (0, 1) without trials."""
    if total == 0:
        return 0.0, 1.0
    share = successes / total
    denominator = 1 + Z95**2 / total
    centre = share + Z95**2 / (2 * total)
    spread = Z95 * sqrt(share * (1 - share) / total + Z95**2 / (4 * total**2))
    low, high = (centre - spread) / denominator, (centre + spread) / denominator
    return max(0.0, low), min(1.0, high)


def paired_difference(
    both: int, first_only: int, second_only: int, neither: int
) -> tuple[float, float]:
    """Return a 95% interval of (share right by the first) - (share right by the second).

    Both judged the same images; the counts say who was right. Newcombe's method 10 (1998,
    Statistics in Medicine 17:2635): Wilson intervals joined by the correlation phi.
    """
    total = both + first_only + second_only + neither
    if total == 0:
        return -1.0, 1.0
    first, second = both + first_only, both + second_only
    share1, share2 = first / total, second / total
    low1, high1 = wilson(first, total)
    low2, high2 = wilson(second, total)
    phi = _phi(both, first_only, second_only, neither)
    down = _joined(share1 - low1, high2 - share2, phi)
    up = _joined(high1 - share1, share2 - low2, phi)
    difference = share1 - share2
    return max(-1.0, difference - down), min(1.0, difference + up)


def difference(
    successes: int, total: int, other_successes: int, other_total: int
) -> tuple[float, float]:
    """Return a 95% interval of the difference of two independent proportions.

    Newcombe's method 10 for independent samples (1998, Statistics in Medicine 17:873).
    """
    if not total or not other_total:
        return -1.0, 1.0
    share, other = successes / total, other_successes / other_total
    low, high = wilson(successes, total)
    other_low, other_high = wilson(other_successes, other_total)
    down = _joined(share - low, other_high - other, 0.0)
    up = _joined(high - share, other - other_low, 0.0)
    return max(-1.0, share - other - down), min(1.0, share - other + up)


def _joined(one: float, other: float, phi: float) -> float:
    return sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def _phi(both: int, first_only: int, second_only: int, neither: int) -> float:
    """Return the correlation of the two judgements, with Newcombe's continuity correction."""
    total = both + first_only + second_only + neither
    margins = (both + first_only) * (second_only + neither)
    margins *= (both + second_only) * (first_only + neither)
    if margins == 0:
        return 0.0
    excess = both * neither - first_only * second_only
    if excess > 0:
        excess = max(0, excess - total // 2)
    return excess / sqrt(margins)
