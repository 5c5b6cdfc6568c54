"""What a host keeps for later: a budget of bytes, the least recently used goes first.

An entry is a feature pack, a dataset's pack, or the file of a model that others start from. Who
reads an entry more than once holds a lock on it, which ends with its process; a trim leaves what
is held. What all tenants share, one export of each backbone, is small and stays.
May import the standard library.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from core.blobs import SHARED_SCOPE

_ENTRIES = ("features/*/*", "packs/*", "models/*")
_ABANDONED_SECONDS = 3600.0


class Entry(NamedTuple):
    """A file, or a folder of files, with its size in bytes and when it was last used."""

    path: Path
    size: int
    used: float

    @property
    def is_partial(self) -> bool:
        """Whether it is being written, or was when its process died."""
        return self.path.name.startswith(".")

    def is_due(self, *, is_over: bool) -> bool:
        """Tell whether it may go: a partial one where nobody can be writing it any more."""
        return time.time() - self.used > _ABANDONED_SECONDS if self.is_partial else is_over


class Trimmed(NamedTuple):
    """How many entries a trim took, and the bytes of those that are left."""

    taken: int
    left: int


def hold(path: Path) -> int | None:
    """Return an open descriptor that keeps an entry from being trimmed; null where it is gone.

    Holding counts as a use. Close the descriptor to let go.
    """
    try:
        opened = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    fcntl.flock(opened, fcntl.LOCK_SH)
    if not _is_at(path, opened):  # trimmed while we waited for the lock
        os.close(opened)
        return None
    os.utime(path)
    return opened


def trim(cache: Path, budget: int) -> Trimmed:
    """Delete entries of all tenants, oldest use first, until `budget` bytes are left at most.

    One process trims at a time; another that comes meanwhile has nothing to do.
    """
    with _alone(cache) as is_alone:
        if not is_alone:
            return Trimmed(0, 0)
        entries = sorted(_entries(cache), key=lambda entry: entry.used)
        left = sum(entry.size for entry in entries)
        taken = 0
        for entry in entries:
            if entry.is_due(is_over=left > budget) and _delete(entry.path):
                left -= entry.size
                taken += 1
    return Trimmed(taken, left)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Yield whether no other process is inside."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(opened)


def _entries(cache: Path) -> Iterator[Entry]:
    for tenant in cache.iterdir():
        if tenant.name == SHARED_SCOPE or not tenant.is_dir():
            continue
        for pattern in _ENTRIES:
            for path in tenant.glob(pattern):
                with contextlib.suppress(FileNotFoundError):
                    yield Entry(path, _size(path), path.stat().st_mtime)


def _size(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files)


def discard(path: Path) -> bool:
    """Delete an entry unless it is held; tell whether it is gone."""
    return _delete(path) or not path.exists()


def _delete(path: Path) -> bool:
    """Delete an entry unless it is held; tell whether it was deleted."""
    try:
        opened = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(opened)
    return True


def _is_at(path: Path, opened: int) -> bool:
    try:
        found, held = path.stat(), os.fstat(opened)
    except FileNotFoundError:
        return False
    return (found.st_ino, found.st_dev) == (held.st_ino, held.st_dev)
