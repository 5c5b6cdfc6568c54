"""The measured photos: 400 x 400 JPEGs of ten classes, the same bytes on every machine.

What is shown does not matter to the clock; their size, detail and number do.
"""

from pathlib import Path

import numpy as np
from PIL import Image

NUM_CLASSES = 10
_SIDE = 400
_GRAIN = 50  # cells of noise a side: about 50 kB a photo, as a shop's are
_HELD_OUT = 5  # of so many photos of a class one is held out


def photos(folder: Path, count: int, first: int = 0) -> Path:
    """Write photos number `first`, `first + 1`, ... as <folder>/<class>/; return the folder."""
    for number in range(first, first + count):
        path = folder / f"class{number % NUM_CLASSES}" / f"{number:06d}.jpg"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            _photo(number).save(path, "JPEG", quality=90)
    return folder


def _photo(number: int) -> Image.Image:
    """Return coloured noise with a tint of its class, which a head can learn."""
    chance = np.random.default_rng(number)
    cells = chance.integers(0, 200, (_GRAIN, _GRAIN, 3), dtype=np.uint8)
    cells[:, :, number % 3] += np.uint8(5 * (number % NUM_CLASSES))
    return Image.fromarray(cells).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)


def parted(folder: Path) -> tuple[list[tuple[Path, int]], list[tuple[Path, int]]]:
    """Return the photos to train on and those held out, each with its class number."""
    train: list[tuple[Path, int]] = []
    held_out: list[tuple[Path, int]] = []
    for label, place in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for number, path in enumerate(sorted(place.glob("*.jpg"))):
            part = held_out if number % _HELD_OUT == 0 else train
            part.append((path, label))
    return train, held_out
