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
import numpy.typing as npt
from PIL import Image as Pictures

from worker.engine.data import Image, load
from worker.engine.runspec import DataSource

SAMPLES = Path("samples/objects")
FASHION = Path("/usr/share/datasets/fashion-mnist")
PACKAGE = "dataset-fashion-mnist"
_HEADERS = {"images": 16, "labels": 8}  # bytes before the values of an IDX file
_SIDE = 28
_POOL, _TESTS = 150, 200  # images of each class
_FEW = 20  # images of each class of a source, or without labels, where a backbone is trained on it
_NAMES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle-boot"),
)
_CARRIED = ("sandal", "sneaker", "bag", "ankle-boot")
Pixels = npt.NDArray[np.uint8]
Style = Callable[[Pixels, int], Pixels]


class ImageSet(NamedTuple):
    """Images to draw from, images to judge by, and images of another domain.

    `source` has labels; `unlabelled` are the target's, for strategies that take such.
    `tuned_at` are the numbers of images a class at which strategies are measured that train the
    backbone.
    """

    name: str
    pool: list[Image]
    tests: list[Image]
    source: list[Image]
    unlabelled: list[Image]
    tuned_at: tuple[int, ...]


class MissingError(Exception):
    """A set is not on this machine; the message says how to get it."""


def image_sets(folder: Path, say: Callable[[str], None]) -> Iterator[ImageSet]:
    """Yield every set that is there; files that are made lie in `folder`."""
    makers: list[Callable[[Path], ImageSet]] = [_fashion, _drawings, _disjoint, _textured, _partial]
    for make in makers:
        try:
            yield make(folder)
        except MissingError as error:
            say(f"left out: {error}")


def _fashion(folder: Path) -> ImageSet:
    pool, tests = _idx(folder, "train", _POOL), _idx(folder, "t10k", _TESTS)
    return ImageSet("fashion-mnist", pool, tests, [], [], (1, 5, 20, 50))


def _drawings(folder: Path) -> ImageSet:
    """Photos of things, with drawings of such things as the source: same labels, other style."""
    del folder
    parts = {part: SAMPLES / part for part in ("source", "target", "target-test")}
    if not all(path.is_dir() for path in parts.values()):
        raise MissingError(f"{SAMPLES}: run this in the checkout's root")
    found = {part: load(DataSource(folder=path)) for part, path in parts.items()}
    return ImageSet(
        "drawings-to-photos",
        found["target"],
        found["target-test"],
        found["source"],
        [],
        (1, 3, 5),
    )


def _disjoint(folder: Path) -> ImageSet:
    """Shoes and bags, with clothes as the source: no label in common."""
    pool, tests = _idx(folder, "train", _POOL), _idx(folder, "t10k", _TESTS)
    clothes = [image for image in pool if image.label not in _CARRIED]
    return ImageSet(
        "clothes-to-shoes",
        _only(pool, _CARRIED),
        _only(tests, _CARRIED),
        first(clothes, 2 * _FEW),
        [],
        (1, 5, 20),
    )


def _textured(folder: Path) -> ImageSet:
    """Textured pictures, with plain ones as the source: same labels, a made and strong shift."""
    pool, tests, source, unlabelled = _textured_parts(folder)
    return ImageSet("plain-to-textured", pool, tests, source, unlabelled, (1, 5, 20))


def _partial(folder: Path) -> ImageSet:
    """Four of the source's ten labels are the target's: where aligning all is known to harm."""
    pool, tests, source, unlabelled = _textured_parts(folder)
    kept = [_only(images, _CARRIED) for images in (pool, tests, unlabelled)]
    return ImageSet("plain-to-textured-shoes", kept[0], kept[1], source, kept[2], (1, 5, 20))


def _textured_parts(folder: Path) -> tuple[list[Image], ...]:
    """Return textured images to draw from and to judge by, plain ones, and textured unlabelled.

    The first `_FEW` plain images of each class are the source, and no textured image is made of
    one of these.
    """
    plain = _idx(folder, "train", _FEW)
    pool = _idx(folder / "textured", "train", _POOL, textured, skipped=_FEW)
    tests = _idx(folder / "textured", "t10k", _TESTS, textured)
    kept = first(pool, _POOL - _FEW)
    names = {image.sha256 for image in kept}
    return kept, tests, plain, [image for image in pool if image.sha256 not in names]


def _only(images: list[Image], labels: tuple[str, ...]) -> list[Image]:
    return [image for image in images if image.label in labels]


def first(images: list[Image], num_each: int) -> list[Image]:
    """Return the first images of each class."""
    found = []
    for label in dict.fromkeys(image.label for image in images):
        found += [image for image in images if image.label == label][:num_each]
    return found


def textured(grey: Pixels, number: int) -> Pixels:
    """Return a picture [h, w] on a coloured texture, [h, w, 3], as its distance from it.

    As MNIST-M is made from MNIST (Ganin et al. 2016), with noise whose amplitude falls with
    frequency, as in photos, in the place of photos. The same for one `number` on every machine.
    """
    side = len(grey)
    chance = np.random.Generator(np.random.PCG64(number))
    across = np.fft.fftfreq(side)
    frequency = np.hypot(across[:, None], across[None, :])
    frequency[0, 0] = 1 / side
    texture = np.empty((side, side, 3))
    for colour in range(3):
        spectrum = np.fft.fft2(chance.standard_normal((side, side))) / frequency
        spectrum[0, 0] = 0
        wave = np.real(np.fft.ifft2(spectrum))
        texture[:, :, colour] = 128 + 45 * wave / wave.std() + chance.uniform(-60, 60)
    return np.abs(texture.clip(0, 255) - grey[:, :, None]).round().astype(np.uint8)


def _idx(
    folder: Path, part: str, num_each: int, style: Style | None = None, skipped: int = 0
) -> list[Image]:
    """Return images of Fashion-MNIST as PNG files, the same ones on every machine."""
    pictures = _values(part, "images").reshape(-1, _SIDE, _SIDE)
    labels = _values(part, "labels")
    order = list(range(len(labels)))
    random.Random(0).shuffle(order)
    found = []
    for number, name in enumerate(_NAMES):
        mine = [one for one in order if labels[one] == number][skipped : skipped + num_each]
        for one in mine:
            values = pictures[one] if style is None else style(pictures[one], one)
            found.append(_written(values, name, folder / part / f"{one}.png"))
    return found


def _values(part: str, what: str) -> Pixels:
    number = 3 if what == "images" else 1
    path = FASHION / f"{part}-{what}-idx{number}-ubyte.gz"
    if not path.is_file():
        raise MissingError(f"{path}: install the Debian package {PACKAGE}")
    content = gzip.decompress(path.read_bytes())
    return np.frombuffer(content, dtype=np.uint8, offset=_HEADERS[what])


def _written(values: Pixels, label: str, path: Path) -> Image:
    buffer = io.BytesIO()
    Pictures.fromarray(values).convert("RGB").save(buffer, "png")
    content = buffer.getvalue()
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return Image(digest, path.name, label, None, None, path, 0, len(content))
