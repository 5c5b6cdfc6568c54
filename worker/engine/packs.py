"""A dataset as two files: images end to end, and a JSON index; no torch here.

Written by the supervisor from the blob store, read by the engine. Images are encoded files
(JPEG, PNG or WebP) that ingest has already decoded once and re-encoded.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PACK_SUFFIX = ".pack"


class PackedImage(NamedTuple):
    """One image: its label (null when unlabelled), product group, split and place in the pack."""

    sha256: str
    name: str
    label: str | None
    group: str | None
    split: str | None
    offset: int
    length: int


class NewImage(NamedTuple):
    """An image to pack: facts, and its encoded bytes in chunks."""

    sha256: str
    name: str
    label: str | None
    group: str | None
    split: str | None
    chunks: Iterable[bytes]


def index_path(pack: Path) -> Path:
    """Return where the index of `pack` lies."""
    return pack.with_suffix(".json")


def write_pack(pack: Path, images: Iterable[NewImage]) -> int:
    """Write `pack` and its index; the index appears last and at once. Return the image count."""
    rows: list[PackedImage] = []
    with pack.open("wb") as out:
        for image in images:
            offset = out.tell()
            for chunk in image.chunks:
                out.write(chunk)
            rows.append(PackedImage(*image[:-1], offset, out.tell() - offset))
    partial = index_path(pack).with_suffix(".tmp")
    partial.write_text(json.dumps({"images": rows}))
    partial.replace(index_path(pack))
    return len(rows)


def read_index(pack: Path) -> list[PackedImage]:
    """Return the images of `pack` in their order."""
    rows = json.loads(index_path(pack).read_text())["images"]
    return [PackedImage(*row) for row in rows]


def read_images(pack: Path, images: Iterable[PackedImage]) -> Iterator[bytes]:
    """Yield the encoded bytes of each image."""
    with pack.open("rb") as source:
        for image in images:
            source.seek(image.offset)
            yield source.read(image.length)
