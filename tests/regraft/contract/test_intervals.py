"""Intervals that reported accuracies and gains rest on."""

import random
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.contract.intervals import difference, paired_difference, wilson


@pytest.mark.parametrize(
    ("successes", "total", "expected"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611))],
)
def test_wilson_gives_the_published_examples(
    successes: int, total: int, expected: tuple[float, float]
) -> None:
    """Merchants would read an accuracy as surer than it is (Newcombe 1998, table I)."""
    assert wilson(successes, total) == pytest.approx(expected, abs=5e-5)


def test_nothing_judged_says_nothing() -> None:
    """A division by zero would end the job."""
    assert wilson(0, 0) == (0.0, 1.0)
    assert paired_difference(0, 0, 0, 0) == (-1.0, 1.0)


@given(*[st.integers(0, 60)] * 4)
def test_a_paired_interval_holds_its_point_and_mirrors(a: int, b: int, c: int, d: int) -> None:
    """Swapping the two models would change more than the sign."""
    total = a + b + c + d
    low, high = paired_difference(a, b, c, d)
    mirrored = paired_difference(a, c, b, d)
    assert (-mirrored[1], -mirrored[0]) == pytest.approx((low, high))
    assert -1 <= low <= high <= 1
    if total:
        assert low - 1e-12 <= (b - c) / total <= high + 1e-12


def test_a_paired_interval_of_many_images_is_the_normal_one() -> None:
    """The gain's interval would be off by a factor."""
    a, b, c, d = 6000, 1500, 1000, 1500
    share = (b - c) / 10_000
    spread = 1.96 * sqrt(((b + c) / 10_000 - share**2) / 10_000)
    expected = (share - spread, share + spread)
    assert paired_difference(a, b, c, d) == pytest.approx(expected, abs=2e-3)


def test_a_paired_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """`gain` would claim a benefit from 24 images more often than 1 time in 20."""
    chance = random.Random(0)
    shares = (0.55, 0.3, 0.05, 0.1)
    hits = 0
    for _ in range(2000):
        drawn = chance.choices(range(4), shares, k=24)
        low, high = paired_difference(*(drawn.count(kind) for kind in range(4)))
        hits += low <= shares[1] - shares[2] <= high
    assert hits / 2000 > 0.94


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((56, 70, 48, 80), (0.0524, 0.3339)), ((9, 10, 3, 10), (0.1705, 0.8090))],
)
def test_a_difference_gives_the_published_examples(
    counts: tuple[int, int, int, int], expected: tuple[float, float]
) -> None:
    """Two models would be told apart by chance (Newcombe 1998, table II, method 10)."""
    assert difference(*counts) == pytest.approx(expected, abs=5e-5)


def test_no_images_tell_nothing() -> None:
    """A model without test images would look better than every other."""
    assert difference(0, 0, 5, 10) == (-1.0, 1.0)
