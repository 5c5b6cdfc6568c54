"""The image sets: what is learned from, what is judged on, and a source domain where there is one.

A set that is not on this machine is left out with a line that says what is missing.
"""

import gzip
import hashlib
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image as Pictures

from worker.engine.data import Image, load
from worker.engine.runspec import DataSource

SAMPLES = Path("samples/objects")
FASHION = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"
_HEADERS = {"images": 16, "labels": 8}  # bytes before the values of an IDX file
_SIDE = 28
_POOL, _TESTS = 150, 200  # images of each class
_NAMES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle-boot"),
)
_CARRIED = ("sandal", "sneaker", "bag", "ankle-boot")


class ImageSet(NamedTuple):
    """Images to draw from, images to judge by, and labelled images of another domain."""

    name: str
    pool: list[Image]
    tests: list[Image]
    source: list[Image]


class MissingError(Exception):
    """A set is not on this machine; the message says how to get it."""


def image_sets(folder: Path, say: Callable[[str], None]) -> Iterator[ImageSet]:
    """Yield every set that is there; files that are made lie in `folder`."""
    makers: list[Callable[[Path], ImageSet]] = [_fashion, _drawings, _disjoint]
    for make in makers:
        try:
            yield make(folder)
        except MissingError as error:
            say(f"left out: {error}")


def _fashion(folder: Path) -> ImageSet:
    return ImageSet("fashion-mnist", _idx(folder, "train", _POOL), _idx(folder, "t10k", _TESTS), [])


def _drawings(folder: Path) -> ImageSet:
    """Photos of things, with drawings of such things as the source: same labels, other style."""
    del folder
    parts = {part: SAMPLES / part for part in ("source", "target", "target-test")}
    if not all(path.is_dir() for path in parts.values()):
        raise MissingError(f"{SAMPLES}: run this in the checkout's root")
    found = {part: load(DataSource(folder=path)) for part, path in parts.items()}
    return ImageSet("drawings-to-photos", found["target"], found["target-test"], found["source"])


def _disjoint(folder: Path) -> ImageSet:
    """Shoes and bags, with clothes as the source: no label in common."""
    pool, tests = _idx(folder, "train", _POOL), _idx(folder, "t10k", _TESTS)
    return ImageSet(
        "clothes-to-shoes",
        [image for image in pool if image.label in _CARRIED],
        [image for image in tests if image.label in _CARRIED],
        [image for image in pool if image.label not in _CARRIED],
    )


def _idx(folder: Path, part: str, num_each: int) -> list[Image]:
    """Return images of Fashion-MNIST as PNG files, the same ones on every machine."""
    pictures = _values(part, "images").reshape(-1, _SIDE, _SIDE)
    labels = _values(part, "labels")
    order = list(range(len(labels)))
    random.Random(0).shuffle(order)
    found = []
    for number, name in enumerate(_NAMES):
        mine = [one for one in order if labels[one] == number][:num_each]
        places = folder / part
        found += [_written(pictures[one], name, places / f"{one}.png") for one in mine]
    return found


def _values(part: str, what: str) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    number = 3 if what == "images" else 1
    path = FASHION / f"{part}-{what}-idx{number}-ubyte.gz"
    if not path.is_file():
        raise MissingError(f"{path}: install the Debian package {PACKAGE}")
    content = gzip.decompress(path.read_bytes())
    return np.frombuffer(content, dtype=np.uint8, offset=_HEADERS[what])


def _written(values: object, label: str, path: Path) -> Image:
    buffer = io.BytesIO()
    Pictures.fromarray(np.asarray(values, dtype=np.uint8)).convert("RGB").save(buffer, "png")
    content = buffer.getvalue()
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Image(digest, path.name, label, None, None, path, 0, len(content))
