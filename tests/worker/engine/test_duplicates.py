"""Copies are found in every disguise, other products in none, and no chain swallows a dataset."""

import hashlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures
from PIL import ImageEnhance, ImageOps
from torch import Tensor

from worker.engine.data import Image
from worker.engine.duplicates import LOOK, SIDE, Bytes, Gallery, grouped, hashes, leaked, look
from worker.engine.preprocess import batches
from worker.engine.shipped.predict import Settings, square
from worker.engine.splits import split

SAMPLES = Path(__file__).parents[3] / "samples"
SETTINGS = Settings(
    resize=256, input_size=224, mean=[0.5] * 3, std=[0.5] * 3, interpolation="bicubic"
)
OBJECTS = sorted(
    path for path in (SAMPLES / "objects").rglob("*") if path.suffix in {".jpg", ".png", ".webp"}
)

Change = Callable[[Pictures.Image], Pictures.Image]


def _image(number: int, label: str = "a", group: str | None = None) -> Image:
    return Image(f"{number:064x}", f"{number}.png", label, group, None, Path("x"), 0, 0)


def _encoded(picture: Pictures.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _seen(data: bytes) -> Bytes:
    return look(square(data, SETTINGS))


def _looks(rows: list[Bytes]) -> dict[str, Tensor]:
    tensors = torch.from_numpy(np.stack(rows).reshape(len(rows), LOOK))
    return {_image(number).sha256: row for number, row in enumerate(tensors)}


def _nothing() -> None:
    """Find nothing that should end a run."""


def _smaller(picture: Pictures.Image) -> Pictures.Image:
    return picture.resize((picture.width * 2 // 3, picture.height * 2 // 3))


def _brighter(picture: Pictures.Image) -> Pictures.Image:
    return ImageEnhance.Brightness(picture).enhance(1.05)


def _darker(picture: Pictures.Image) -> Pictures.Image:
    return ImageEnhance.Brightness(picture).enhance(0.8)


def _mirrored(picture: Pictures.Image) -> Pictures.Image:
    return ImageOps.mirror(picture)


def _as_it_is(picture: Pictures.Image) -> Pictures.Image:
    return picture


@pytest.mark.parametrize("change", [_as_it_is, _smaller, _brighter, _darker, _mirrored])
def test_a_copy_in_disguise_is_found(change: Change) -> None:
    """A model would be tested on what it has learned by heart."""
    pictures = [Pictures.open(path).convert("RGB") for path in OBJECTS[::20]]
    rows = [_seen(_encoded(one, 95)) for one in pictures]
    rows += [_seen(_encoded(change(one), 60)) for one in pictures]
    gallery, count = Gallery(rows), len(pictures)
    for number in range(count):
        assert gallery.alike(number, np.arange(count, 2 * count)).tolist() == [count + number]


@pytest.mark.parametrize("folder", ["objects", "fashion-mnist"])
def test_no_two_photos_of_the_samples_are_alike(folder: str) -> None:
    """Different products would be counted as one, and accuracies called into question."""
    paths = sorted(
        path for path in (SAMPLES / folder).rglob("*") if path.suffix in {".jpg", ".png"}
    )
    gallery = Gallery([_seen(path.read_bytes()) for path in paths])
    assert len(paths) > 300
    for number in range(len(paths)):
        assert gallery.alike(number, np.arange(number + 1, len(paths))).tolist() == []


def test_the_same_shape_in_another_colour_is_another_product() -> None:
    """A shop whose classes are colours could hold nothing out."""
    chance = np.random.default_rng(0)
    shape = np.zeros((SIDE, SIDE, 1), dtype=np.uint8)
    shape[3:13, 4:12] = chance.integers(100, 200, (10, 8, 1))
    red, blue = (
        np.where(shape, shape * np.array(c, np.uint8), 255) for c in ((1, 0, 0), (0, 0, 1))
    )
    rows = [np.asarray(one, dtype=np.uint8) for one in (red, blue)]
    assert Gallery(rows).alike(0, np.array([1])).tolist() == []


def test_pictures_of_nothing_are_not_alike() -> None:
    """All white studio shots would be one group, and no validation set be left."""
    chance = np.random.default_rng(1)
    rows = [np.full((SIDE, SIDE, 3), 255, np.uint8)] * 20
    rows += [chance.integers(250, 256, (SIDE, SIDE, 3)).astype(np.uint8) for _ in range(20)]
    images = [_image(number) for number in range(40)]
    assert grouped(images, _looks(rows), _nothing) == images


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 12), st.floats(0, 60))
def test_likeness_is_mutual_and_every_picture_is_like_itself(
    seed: int, count: int, noise: float
) -> None:
    """Whether a leak is found would depend on which side of the split is asked."""
    chance = np.random.default_rng(seed)
    base = chance.uniform(0, 255, (SIDE, SIDE, 3))
    turned = [base[:, :: chance.choice((1, -1))] for _ in range(count)]
    rows = [
        np.clip(one + chance.normal(0, noise, base.shape), 0, 255).astype(np.uint8)
        for one in turned
    ]
    gallery, every = Gallery(rows), np.arange(count)
    found = {(i, j) for i in range(count) for j in gallery.alike(i, every).tolist()}
    assert found >= {(i, i) for i in range(count)}
    assert {(j, i) for i, j in found} == found


def test_the_hash_is_the_published_one() -> None:
    """The documentation would name another method than the one that runs."""
    rows = np.random.default_rng(2).integers(0, 256, (3, SIDE, SIDE, 3)).astype(np.uint8)
    for row, found in zip(rows, hashes(rows), strict=True):
        grey = row @ np.array([0.299, 0.587, 0.114])
        place = np.arange(SIDE)
        values = [
            (
                grey
                * np.cos(np.pi * (2 * place[:, None] + 1) * u / (2 * SIDE))
                * np.cos(np.pi * (2 * place + 1) * v / (2 * SIDE))
            ).sum()
            for u in range(8)
            for v in range(8)
        ]
        values[0] = 0.0
        bits = [int(value > np.median(values[1:])) for value in values]
        assert bits == np.unpackbits(np.array([found]).view(np.uint8)).tolist()


def _chain(count: int) -> list[Bytes]:
    """Return pictures that change little from one to the next, and wholly from end to end."""
    chance = np.random.default_rng(3)
    ends = [chance.uniform(0, 255, (SIDE, SIDE, 3)) for _ in range(8)]
    steps = np.linspace(0, len(ends) - 1.001, count)
    return [
        (ends[int(s)] * (1 - s % 1) + ends[int(s) + 1] * (s % 1)).astype(np.uint8) for s in steps
    ]


def test_a_chain_of_likenesses_does_not_swallow_the_dataset() -> None:
    """Burst photos that lead from one product to the next would all land on one side."""
    rows = _chain(400)
    gallery = Gallery(rows)
    assert all(gallery.alike(n, np.array([n + 1])).tolist() == [n + 1] for n in range(399))
    images = [_image(number) for number in range(400)]
    found = grouped(images, _looks(rows), _nothing)
    sizes = [[one.group for one in found].count(group) for group in {one.group for one in found}]
    assert max(sizes) < 80
    shuffled = [images[n] for n in np.random.default_rng(4).permutation(400)]
    again = {one.sha256: one.group for one in grouped(shuffled, _looks(rows), _nothing)}
    assert again == {one.sha256: one.group for one in found}
    # What the cuts leave on both sides is found again, and said.
    parts = split(found, 0.3, 0)
    leaks = leaked(parts.validation, parts.train, _looks(rows), _nothing)
    learned = np.array([int(one.sha256, 16) for one in parts.train])
    held_out = [int(one.sha256, 16) for one in parts.validation]
    alike = {_image(n).sha256 for n in held_out if len(gallery.alike(n, learned))}
    assert 0 < len(leaks) < len(held_out)
    assert set(leaks) == alike


def test_copies_and_their_products_stay_on_one_side() -> None:
    """Two products that share a photo would be on both sides of the split."""
    chance = np.random.default_rng(5)
    rows = [chance.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8) for _ in range(40)]
    for number in range(0, 40, 4):
        rows[number + 1] = np.clip(rows[number].astype(int) + 3, 0, 255).astype(np.uint8)
    images = [_image(n, "ab"[n % 2], f"sku{n // 2}" if n >= 20 else None) for n in range(40)]
    images[2] = images[2]._replace(group="sku0")
    images[0] = images[0]._replace(group="sku0")
    found = {one.sha256: one.group for one in grouped(images, _looks(rows), _nothing)}
    group_of = [found[image.sha256] for image in images]
    assert group_of[0] == group_of[1] == group_of[2] != group_of[3]
    assert group_of[3] is None
    for number in range(4, 40, 4):
        assert group_of[number] == group_of[number + 1]
    for seed in range(5):
        parts = split(grouped(images, _looks(rows), _nothing), 0.3, seed)
        assert parts.validation
        assert leaked(parts.validation, parts.train, _looks(rows), _nothing) == {}


def test_twenty_thousand_pictures_are_compared_in_seconds() -> None:
    """A large catalogue would wait longer for the check than for its training."""
    chance = np.random.default_rng(6)
    gallery = Gallery(list(chance.integers(0, 256, (20_000, SIDE, SIDE, 3), dtype=np.uint8)))
    every = np.arange(20_000)
    started = time.process_time()
    for number in range(0, 20_000, 20):
        gallery.alike(number, every)
    assert 20 * (time.process_time() - started) < 60


def test_a_look_comes_with_the_pixels() -> None:
    """Each image would be decoded twice."""
    data = OBJECTS[0].read_bytes()
    image = Image(hashlib.sha256(data).hexdigest(), "x", "a", None, None, OBJECTS[0], 0, len(data))
    (batch,) = batches([image], SETTINGS, 4)
    assert batch.looks.dtype == torch.uint8
    assert batch.looks.reshape(SIDE, SIDE, 3).tolist() == _seen(data).tolist()
