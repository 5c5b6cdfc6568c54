"""A source is trusted unseen only where its labels mean what the target's do."""

import pytest
import torch
from torch import Tensor

from tests.worker.engine.strategies.vectors import Vectors, task_of
from worker.engine.backbone import Backbone
from worker.engine.strategies.planner.trust import speaks_for

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 24
TEN = [f"label-{number}" for number in range(10)]


def rows_of(names: list[str], seed: int, shift: float = 0.0) -> Tensor:
    """Return a row for each name, near its class's place; `shift` moves all of them alike."""
    places = torch.randn(len(TEN), WIDTH, generator=torch.Generator().manual_seed(7))
    numbers = torch.tensor([TEN.index(name) for name in names])
    noise = torch.randn(len(names), WIDTH, generator=torch.Generator().manual_seed(seed))
    return places[numbers] + 1.5 * noise + shift * places[0]


def _renamed(names: list[str], by: int) -> list[str]:
    """Return the names each class would have if they were moved on by some places."""
    own = sorted(set(names), key=TEN.index)
    return [own[(own.index(name) + by) % len(own)] for name in names]


def _speaks(
    backbone: Backbone, target: list[str], source: list[str], *, seed: int = 1, by: int = 0
) -> bool:
    vectors = Vectors()
    shown = vectors.images(rows_of(target, seed, shift=2.0), target)
    beside = vectors.images(rows_of(source, 1000 + seed), _renamed(source, by))
    return speaks_for(task_of(backbone, vectors, shown, beside))


def test_one_image_of_each_of_ten_classes_tells(backbone: Backbone) -> None:
    """The source's gain would be lost where it is largest; the shift makes all look like one."""
    assert sum(_speaks(backbone, TEN, TEN * 20, seed=seed) for seed in range(10)) >= 9


def test_labels_that_mean_something_else_are_hardly_ever_trusted(backbone: Backbone) -> None:
    """Labels that mislead would make the model, and nothing is compared there."""
    found = [
        _speaks(backbone, TEN, TEN * 20, seed=seed, by=by) for by in (1, 3) for seed in range(20)
    ]
    assert sum(found) <= 6  # 4 of 40 by the level of the test


def test_four_of_the_sources_classes_can_tell(backbone: Backbone) -> None:
    """A part of a catalogue would never profit from all of it."""
    four = TEN[2:6]
    trusted = [_speaks(backbone, four * 3, TEN * 20, seed=seed) for seed in range(10)]
    misled = [_speaks(backbone, four * 3, TEN * 20, seed=seed, by=1) for seed in range(10)]
    assert sum(trusted) >= 8
    assert sum(misled) <= 2


def test_two_classes_need_more_than_one_image_each(backbone: Backbone) -> None:
    """A coin would choose: one of two ways to name them is always the better one."""
    two = TEN[4:6]
    assert not any(_speaks(backbone, two, two * 50, seed=seed) for seed in range(10))
    assert sum(_speaks(backbone, two * 6, two * 50, seed=seed) for seed in range(10)) >= 8
    assert not any(_speaks(backbone, two * 6, two * 50, seed=seed, by=1) for seed in range(10))


def test_a_source_of_other_labels_says_nothing(backbone: Backbone) -> None:
    """A job without a label in common would end in an error."""
    assert not _speaks(backbone, TEN[:5], TEN[5:] * 10)
    vectors = Vectors()
    shown = vectors.images(rows_of(TEN, 1), TEN)
    assert not speaks_for(task_of(backbone, vectors, shown, []))


def test_one_label_in_common_tells_if_it_is_one_of_many(backbone: Backbone) -> None:
    """A class alone has nobody to be exchanged with; among two a coin would say."""
    target = [TEN[9], "another"]
    vectors = Vectors()
    rows = torch.cat([rows_of([TEN[9]], 1), torch.zeros(1, WIDTH)])
    few = vectors.images(rows_of(TEN[8:] * 20, 2), TEN[8:] * 20)
    assert not speaks_for(task_of(backbone, vectors, vectors.images(rows, target), few))
