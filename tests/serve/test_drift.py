"""The drift test keeps its false alarms, finds what has changed, and is not fooled by the mix."""

import json

import numpy as np
import numpy.typing as npt
import pytest
import torch

from db.lifecycle.drift import Tally
from regraft.contract.drift import FALSE_ALARMS, LEAST_SHIFT, WINDOW
from serve.drift import Reference, f_tail
from worker.engine.reference import written
from worker.engine.shipped.predict import Floats

WIDTH, CLASSES, LABELS = 96, 5, ("a", "b", "c", "d", "e")


class Shop:
    """Photos as features: skewed, positive and correlated, as those of a real backbone are."""

    def __init__(self, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.centres = self.chance.gamma(2.0, 1.0, (CLASSES, WIDTH))
        self.mixing = self.chance.normal(size=(WIDTH, WIDTH)) / WIDTH**0.5

    def photos(
        self, count: int, mix: npt.NDArray[np.float64] | None = None, moved: float = 0.0
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Return features [n, d] and the class that the nearest centre takes each for."""
        truth = self.chance.choice(CLASSES, count, p=mix)
        noise = (self.chance.exponential(1.0, (count, WIDTH)) - 1.0) @ self.mixing
        found = (self.centres[truth] + noise + moved).astype(np.float32)
        distances = ((found[:, None] - self.centres[None]) ** 2).sum(axis=2)
        return found, distances.argmin(axis=1)


def _reference(shop: Shop, count: int = 120) -> Reference:
    features, classes = shop.photos(count)
    content = written(torch.tensor(features), classes, LABELS)
    assert content is not None
    return Reference.of(content, WIDTH)


def _window(
    reference: Reference, photos: tuple[Floats, npt.NDArray[np.int64]]
) -> tuple[float, bool]:
    features, classes = photos
    sums = reference.deviations(features, classes).sum(axis=0)
    counts = np.bincount(classes, minlength=CLASSES)
    found = reference.judge(Tally(sums.tolist(), counts.tolist()))
    return found.p_value, found.drifted


@pytest.mark.parametrize(
    ("value", "first", "second", "expected"),
    [
        # The critical values of published tables (upper 5%, 1% and 0.1%).
        (4.965, 1, 10, 0.05),
        (3.326, 5, 10, 0.05),
        (5.636, 5, 10, 0.01),
        (2.070, 10, 50, 0.0454),
        (1.0, 7, 7, 0.5),
        (0.0, 3, 9, 1.0),
    ],
)
def test_the_tail_is_the_tables(value: float, first: int, second: int, expected: float) -> None:
    """A wrong tail makes every rate that is promised a wrong one."""
    assert f_tail(value, first, second) == pytest.approx(expected, rel=0.02)


def test_false_alarms_are_as_rare_as_stated() -> None:
    """A merchant who is warned for nothing turns the warnings off."""
    p_values, alarms = [], 0
    for seed in range(40):
        shop = Shop(seed)
        reference = _reference(shop)
        for _ in range(50):
            p_value, drifted = _window(reference, shop.photos(WINDOW))
            p_values.append(p_value)
            alarms += drifted
    found = np.array(p_values)
    # Of 2,000 windows: 1% would be 20; the means of 40 references make them come in clusters.
    assert (found < 0.01).mean() < 0.025
    assert alarms <= 2000 * FALSE_ALARMS + 3
    assert 0.3 < np.median(found) < 0.7


def test_a_change_of_every_photo_is_found() -> None:
    """Another camera or another background would go by unnoticed."""
    found = [
        _window(_reference(shop), shop.photos(WINDOW, moved=0.6))
        for shop in (Shop(seed) for seed in range(20))
    ]
    assert sum(drifted for _, drifted in found) >= 19


def test_another_mix_of_products_is_no_drift() -> None:
    """The week of the mugs would look as if the camera had changed."""
    mix = np.array([0.8, 0.05, 0.05, 0.05, 0.05])
    alarms = 0
    for seed in range(40):
        shop = Shop(seed)
        alarms += _window(_reference(shop, 200), shop.photos(WINDOW, mix))[1]
    assert alarms <= 1
    # The same photos compared with the mean of all classes would be far away indeed.
    shop = Shop(0)
    blind = _reference(shop, 200)
    features, _ = shop.photos(WINDOW, mix)
    first = np.zeros(WINDOW, dtype=np.int64)
    assert _window(blind, (features, first))[1]


def test_a_difference_that_is_sure_but_small_is_no_warning() -> None:
    """With enough photos everything differs from the training set."""
    shop = Shop(3)
    reference = _reference(shop, 4000)
    features, classes = shop.photos(20_000, moved=0.03)
    sums = reference.deviations(features, classes).sum(axis=0)
    counts = np.bincount(classes, minlength=CLASSES)
    found = reference.judge(Tally(sums.tolist(), counts.tolist()))
    assert found.p_value < FALSE_ALARMS
    assert found.shift < LEAST_SHIFT
    assert not found.drifted


def test_too_few_images_make_no_reference() -> None:
    """A model of ten photos would warn of whatever comes."""
    features, classes = Shop(0).photos(30)
    assert written(torch.tensor(features), classes, LABELS) is None


def test_a_file_that_is_no_reference_is_refused() -> None:
    """An altered file must not make the process judge by noise."""
    features, classes = Shop(0).photos(120)
    content = written(torch.tensor(features), classes, LABELS)
    assert content is not None
    assert content == written(torch.tensor(features), classes, LABELS)
    length = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + length])["__metadata__"]["num_images"] == "120"
    for damaged in (b"", content[:40], content[:-1], b"x" * len(content)):
        with pytest.raises(ValueError, match="no reference"):
            Reference.of(damaged, WIDTH)
    with pytest.raises(ValueError, match="do not fit"):
        Reference.of(content, WIDTH * 2)
