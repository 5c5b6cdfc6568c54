"""Who is trained on and who is held out, for any set of products."""

import random
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from worker.engine.data import Image
from worker.engine.splits import MAX_FOLDS, dealt, folds, split


def _image(number: int, label: str, group: str | None = None, part: str | None = None) -> Image:
    return Image(f"{number:064x}", f"{number}.png", label, group, part, Path("x"), 0, 0)


@st.composite
def _catalogues(draw: st.DrawFn) -> list[Image]:
    """Products of one label each, with one to four photos."""
    products = draw(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), max_size=25))
    photos = [(label, n) for n, (label, count) in enumerate(products) for _ in range(count)]
    return [_image(n, label, f"sku{group}") for n, (label, group) in enumerate(photos)]


@given(_catalogues(), st.floats(0, 0.5), st.integers(0, 2**63 - 1), st.randoms())
def test_a_split_is_a_partition_whatever_the_order(
    images: list[Image], fraction: float, seed: int, chance: random.Random
) -> None:
    """The same dataset would give another validation set after a restart."""
    parts = split(images, fraction, seed)
    assert sorted(parts.train + parts.validation) == sorted(images)
    shuffled = list(images)
    chance.shuffle(shuffled)
    assert split(shuffled, fraction, seed) == parts


@given(_catalogues(), st.floats(0, 0.5), st.integers(0, 100))
def test_products_stay_whole_and_every_class_is_trained_on(
    images: list[Image], fraction: float, seed: int
) -> None:
    """Two photos of one product on both sides make accuracy look better than it is."""
    parts = split(images, fraction, seed)
    assert not {i.group for i in parts.train} & {i.group for i in parts.validation}
    assert {i.label for i in parts.train} == {i.label for i in images}


@given(st.lists(st.sampled_from("ab"), min_size=2, max_size=30), st.integers(0, 50))
def test_groups_of_mixed_labels_leave_no_class_untrained(labels: list[str], seed: int) -> None:
    """A class that only occurs in held-out outfits could never be named."""
    images = [_image(n, label, f"outfit{n // 3}") for n, label in enumerate(labels)]
    parts = split(images, 0.4, seed)
    assert {i.label for i in parts.train} == {i.label for i in images}


def test_the_share_is_what_was_asked_for_in_each_class() -> None:
    """A class without held-out images would have no score."""
    images = [_image(n, "abcd"[n % 4]) for n in range(200)]
    counts = Counter(image.label for image in split(images, 0.2, 7).validation)
    assert counts == {"a": 10, "b": 10, "c": 10, "d": 10}


def test_small_classes_give_together_what_none_gives_alone() -> None:
    """A hundred classes of two photos would be judged on none."""
    images = [_image(n, f"class{n // 2}") for n in range(200)]
    assert len(split(images, 0.2, 0).validation) == 40


def test_the_draw_is_the_same_on_every_machine() -> None:
    """Two workers would hold out different images for one job."""
    images = [_image(n, "ab"[n % 2]) for n in range(20)]
    held = [image.name for image in split(images, 0.2, 3).validation]
    assert held == ["9.png", "13.png", "14.png", "16.png"]
    assert folds(images[:8], 3) == [2, 3, 0, 0, 3, 2, 1, 1]


def test_named_splits_win() -> None:
    """A merchant's own benchmark split would be mixed with training images."""
    images = [_image(n, "ab"[n % 2], part=("validation", "test", None)[n % 3]) for n in range(30)]
    parts = split(images, 0.5, 0)
    assert {i.name for i in parts.validation} == {f"{n}.png" for n in range(0, 30, 3)}
    assert {i.name for i in parts.test} == {f"{n}.png" for n in range(1, 30, 3)}
    named_test = [
        image._replace(split="test") if n < 6 else image._replace(split=None)
        for n, image in enumerate(images)
    ]
    parts = split(named_test, 0.25, 0)
    assert (len(parts.test), len(parts.validation), len(parts.train)) == (6, 6, 18)


@given(_catalogues(), st.integers(0, 100))
def test_every_fold_leaves_every_class_in_training(images: list[Image], seed: int) -> None:
    """Cross-validation would count classes as wrong that it never showed to the model."""
    numbers = folds(images, seed)
    by_group: dict[str | None, set[int]] = {}
    for image, number in zip(images, numbers, strict=True):
        by_group.setdefault(image.group, set()).add(number)
    assert all(len(found) == 1 for found in by_group.values())
    assert max(numbers, default=-1) < MAX_FOLDS
    for fold in set(numbers) - {-1}:
        left = {i.label for i, number in zip(images, numbers, strict=True) if number != fold}
        assert left == {image.label for image in images}


@given(_catalogues(), st.integers(1, 5))
def test_parts_are_even_in_each_class_and_keep_products_whole(
    images: list[Image], num_parts: int
) -> None:
    """A calibration would be judged on photos of products that it was fitted on."""
    parts = dealt(images, num_parts)
    products: dict[str | None, set[int]] = {}
    for image, part in zip(images, parts, strict=True):
        products.setdefault(image.group, set()).add(part)
    assert all(len(found) == 1 for found in products.values())
    for label in "abc":
        groups = {i.group: p for i, p in zip(images, parts, strict=True) if i.label == label}
        sizes = [list(groups.values()).count(number) for number in range(num_parts)]
        assert max(sizes) - min(sizes) <= 1


def test_one_photo_of_each_class_cannot_be_cross_validated() -> None:
    """A one-shot job would fail instead of taking the default."""
    assert folds([_image(n, f"class{n}") for n in range(5)], 0) == [-1] * 5
