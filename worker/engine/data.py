"""The images of a dataset, from a pack or a folder tree: facts first, bytes on demand.

May import `packs`, `runspec` and the standard library; no torch.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from worker.engine.packs import PACK_SUFFIX, index_path, read_index
from worker.engine.runspec import DataSource

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


class DamagedImageError(Exception):
    """The bytes of an image are not those that its hash names."""


class Image(NamedTuple):
    """One encoded image: what is known of it, and the byte range of a file that holds it."""

    sha256: str
    name: str
    label: str | None
    group: str | None
    split: str | None
    path: Path
    offset: int
    length: int

    def read(self) -> bytes:
        """Return the encoded bytes; safe to call from several threads.

        Raises:
            DamagedImageError: they have changed; a pack they came from is written anew next time.
        """
        with self.path.open("rb") as source:
            source.seek(self.offset)
            data = source.read(self.length)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            if self.path.suffix == PACK_SUFFIX:
                index_path(self.path).unlink(missing_ok=True)
            raise DamagedImageError(f"the local copy of {self.name} is damaged")
        return data


def load(source: DataSource) -> list[Image]:
    """Return the images of `source`, ordered by hash and name whatever the order of its rows.

    Raises:
        ValueError: what `source` names is not there.
    """
    images: list[Image] = []
    if source.pack is not None:
        images = _from_pack(source.pack)
    if source.folder is not None:
        images = _from_folder(source.folder)
    return sorted(images, key=lambda image: (image.sha256, image.name))


def _from_pack(pack: Path) -> list[Image]:
    if not pack.is_file():
        raise ValueError(f"there is no pack {pack}")
    return [
        Image(row.sha256, row.name, row.label, row.group, row.split, pack, row.offset, row.length)
        for row in read_index(pack)
    ]


def _from_folder(folder: Path) -> list[Image]:
    """Return the images of `<folder>/<class>/...`; the class is the first folder's name."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    return [
        Image(
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            name=path.relative_to(folder).as_posix(),
            label=path.relative_to(folder).parts[0],
            group=None,
            split=None,
            path=path,
            offset=0,
            length=path.stat().st_size,
        )
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and path.parent != folder and path.is_file()
    ]


class Distinct(NamedTuple):
    """Labelled images without repeats, and how many rows were left out, by reason."""

    images: list[Image]
    left_out: dict[str, int]


def distinct(images: Iterable[Image]) -> Distinct:
    """Keep each labelled image once; one that carries two labels teaches nothing and is dropped."""
    labels: dict[str, set[str]] = {}
    kept: dict[str, Image] = {}
    reasons: Counter[str] = Counter()
    for image in images:
        if image.label is None:
            reasons["unlabelled"] += 1
            continue
        labels.setdefault(image.sha256, set()).add(image.label)
        if image.sha256 in kept:
            reasons["repeated"] += 1
        kept.setdefault(image.sha256, image)
    conflicting = [sha256 for sha256, found in labels.items() if len(found) > 1]
    for sha256 in conflicting:
        del kept[sha256]
    reasons["conflicting_label"] = len(conflicting)
    return Distinct(list(kept.values()), {name: n for name, n in reasons.items() if n})


def without_labels(images: Iterable[Image]) -> list[Image]:
    """Return each image once, whatever labels it carries, and none of them."""
    return list({image.sha256: image._replace(label=None) for image in images}.values())
