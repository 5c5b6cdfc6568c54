"""What the decoding child reads an upload through, whatever its kind.

Imports pyarrow, through `parquet`, only where a parquet file came: it takes long to load.
"""

import os
import zipfile
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from core.archive import Entry, inspect, read_member
from core.parquet_ends import is_parquet
from core.settings import UploadLimits
from worker.ingest.messages import Task


class Container(Protocol):
    """An upload that was checked as a whole: its files in their order, and the bytes of each."""

    entries: Sequence[Entry]

    def read(self, index: int) -> bytes:
        """Return a file's bytes; raises `ArchiveError` where they are damaged or too many."""


class Opener(Protocol):
    """Opens a container; raises `ArchiveError` for one that cannot be used."""

    def __call__(self, task: Task) -> Container:
        """Check a task's container as a whole."""


class ZipContainer:
    """A zip of images, in folders or with a manifest."""

    def __init__(self, task: Task) -> None:
        self.entries: Sequence[Entry] = inspect(
            task.archive, task.limits, task.least_classes
        ).entries
        self._limits: UploadLimits = task.limits
        self._archive = zipfile.ZipFile(task.archive)

    def read(self, index: int) -> bytes:
        """Return a file's bytes; raises `ArchiveError`."""
        return b"".join(
            read_member(self._archive, self.entries[index], self._limits.max_image_bytes)
        )


def opener(task: Task) -> Opener:
    """Return what opens a task's container: all code it needs is loaded, no byte parsed."""
    if not is_parquet(task.archive):
        return ZipContainer
    # Arrow's own allocator takes a gigabyte of addresses at once: all that the sandbox allows.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    loaded: Opener = import_module("worker.ingest.parquet").ParquetContainer
    return loaded
