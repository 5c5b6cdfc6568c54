"""Features that were computed before, by image hash: packs in a folder that may be deleted.

A pack is a safetensors file: `features` [n, d] in fp16, `looks` [n, 768] (see `duplicates`), the
images' hashes and a hash of it all in its metadata. A pack that does not match its hash is
dropped. May import torch, safetensors.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from torch import Tensor

from worker.engine.feature_packs import SUFFIX, folder_of
from worker.engine.files import write_whole
from worker.engine.tensorfile import Entry, header
from worker.engine.weights import tensor_bytes


class Found(NamedTuple):
    """Cached rows [d] and looks by image hash, the seconds they took, packs dropped and used."""

    rows: dict[str, Tensor]
    looks: dict[str, Tensor]
    seconds: float
    dropped: list[str]
    packs: list[str]

    def joined(self, other: "Found") -> "Found":
        """Return what both hold."""
        return Found(
            self.rows | other.rows,
            self.looks | other.looks,
            self.seconds + other.seconds,
            self.dropped + other.dropped,
            self.packs + other.packs,
        )


class FeatureCache:
    """The packs of one key: whatever decides a feature's value belongs to the key."""

    def __init__(self, root: Path, key: Mapping[str, object]) -> None:
        text = json.dumps(key, sort_keys=True)
        self.key = hashlib.sha256(text.encode()).hexdigest()
        self.folder = folder_of(root, self.key)

    def find(self, wanted: Iterable[str]) -> Found:
        """Return the rows of those images that are cached."""
        missing = set(wanted)
        rows: dict[str, Tensor] = {}
        looks: dict[str, Tensor] = {}
        seconds = 0.0
        dropped: list[str] = []
        packs: list[str] = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")) if missing else ():
            try:
                hashes, features, seen, cost = self._read(path)
            except FileNotFoundError:  # another process has just made room
                continue
            except (OSError, SafetensorError, ValueError, KeyError):
                path.unlink(missing_ok=True)
                dropped.append(path.name)
                continue
            hits = [number for number, name in enumerate(hashes) if name in missing]
            if hits:
                _mark_used(path)
                packs.append(path.stem)
            rows.update((hashes[number], features[number]) for number in hits)
            looks.update((hashes[number], seen[number]) for number in hits)
            missing.difference_update(hashes)
            seconds += cost * len(hits) / max(1, len(hashes))
        return Found(rows, looks, seconds, dropped, packs)

    def _read(self, path: Path) -> tuple[list[str], Tensor, Tensor, float]:
        with safe_open(path, framework="pt") as pack:
            metadata = pack.metadata() or {}
            features, looks = pack.get_tensor("features"), pack.get_tensor("looks")
        hashes: list[str] = json.loads(metadata["images"])
        if metadata["key"] != self.key or not len(hashes) == len(features) == len(looks):
            raise ValueError("the pack is of another key")
        values = tensor_bytes(features) + tensor_bytes(looks)
        if metadata["content"] != _content_hash(metadata["images"], values):
            raise ValueError("the pack's bytes have changed")
        return hashes, features, looks, float(metadata["seconds"])

    def add(self, hashes: list[str], features: Tensor, looks: Tensor, seconds: float) -> Path:
        """Store fp16 features [n, d] and looks of n images, and the seconds; return the pack."""
        images, first = json.dumps(hashes), tensor_bytes(features)
        second = tensor_bytes(looks)
        values = first + second
        content = _content_hash(images, values)
        metadata = {"key": self.key, "images": images, "content": content}
        metadata["seconds"] = f"{seconds:.4f}"
        entries = [
            Entry("features", "F16", tuple(features.shape), len(first)),
            Entry("looks", "U8", tuple(looks.shape), len(second)),
        ]
        path = self.folder / f"{content[:32]}{SUFFIX}"
        write_whole(path, [header(entries, metadata), values])
        return path


def _mark_used(path: Path) -> None:
    """Tell whoever makes room that this pack is still of use."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(path)


def _content_hash(images: str, values: bytes) -> str:
    return hashlib.sha256(images.encode() + values).hexdigest()
