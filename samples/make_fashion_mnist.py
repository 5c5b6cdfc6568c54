"""Cut the Fashion-MNIST sample out of the four idx files of the original data set.

Usage: python make_fashion_mnist.py FOLDER_OF_IDX_GZ [OUT_FOLDER]
"""

import gzip
import random
import struct
import sys
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes = npt.NDArray[np.uint8]

CLASSES: Final = {
    "t-shirt": 0,
    "trouser": 1,
    "pullover": 2,
    "dress": 3,
    "coat": 4,
    "sandal": 5,
    "shirt": 6,
    "sneaker": 7,
    "bag": 8,
    "ankle-boot": 9,
}
CLOTHING: Final = ("t-shirt", "trouser", "pullover", "dress", "coat", "shirt")
ACCESSORIES: Final = ("sandal", "sneaker", "ankle-boot", "bag")
SEED: Final = 0
UNSIGNED_BYTE: Final = 0x08


class Part(NamedTuple):
    """One folder of the sample: which split it is cut from, and how much of it."""

    folder: str
    split: str
    classes: tuple[str, ...]
    per_class: int


PARTS: Final = (
    Part("source", "train", CLOTHING, 60),
    Part("target", "train", ACCESSORIES, 30),
    Part("target-test", "t10k", ACCESSORIES, 25),
)


def read_idx(path: Path) -> Bytes:
    """Read a gzipped idx file of unsigned bytes, in the shape that its header gives."""
    raw = gzip.decompress(path.read_bytes())
    zero, kind, dimensions = struct.unpack_from(">HBB", raw)
    if zero != 0 or kind != UNSIGNED_BYTE:
        raise ValueError(f"{path.name} is not an idx file of unsigned bytes")
    shape = struct.unpack_from(f">{dimensions}I", raw, 4)
    return np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def choose(labels: Bytes, label: int, count: int) -> list[int]:
    """Draw `count` indices of one class; the same ones every time."""
    indices: list[int] = np.flatnonzero(labels == label).tolist()
    return sorted(random.Random(SEED).sample(indices, count))


def write_part(part: Part, idx_folder: Path, out: Path) -> int:
    """Write one part as class-per-folder PNG files, and return how many there are."""
    images = read_idx(idx_folder / f"{part.split}-images-idx3-ubyte.gz")
    labels = read_idx(idx_folder / f"{part.split}-labels-idx1-ubyte.gz")
    for name in part.classes:
        folder = out / part.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in choose(labels, CLASSES[name], part.per_class):
            Image.fromarray(images[index]).save(folder / f"{index:06d}.png", optimize=True)
    return len(part.classes) * part.per_class


def main(arguments: list[str]) -> int:
    """Write every part below the output folder (by default beside this script)."""
    if not arguments:
        sys.stderr.write(__doc__ or "")
        return 2
    out = Path(arguments[1]) if arguments[1:] else Path(__file__).parent / "fashion-mnist"
    for part in PARTS:
        count = write_part(part, Path(arguments[0]), out)
        sys.stdout.write(f"{part.folder}: {count} images\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
