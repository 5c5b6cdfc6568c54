"""Where a worker keeps files below `home`: caches that may be deleted, and a run's workspace.

A workspace is held by a lock on its folder, which ends with the process that holds it: process
ids are used again, mean nothing on another host, and stay with a zombie.
May import core, `local_cache` and the standard library.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.blobs import SHARED_SCOPE
from worker.local_cache import Trimmed, trim

_GROWN, _TRIMMED = ".grown", ".trimmed"
_TRIM_SECONDS = 60.0


class Places:
    """The folders of one installation; a tenant's cache is never another tenant's."""

    def __init__(self, home: Path) -> None:
        self._cache = home.resolve() / "cache"
        self._work = home.resolve() / "work"

    def cache(self, tenant_id: str) -> Path:
        """Return one tenant's cache."""
        return _made(self._cache / tenant_id)

    def shared_cache(self) -> Path:
        """Return the cache of what depends on public data only."""
        return _made(self._cache / SHARED_SCOPE)

    def tenants(self) -> list[Path]:
        """Return the caches of all tenants, each called by its tenant's id."""
        folders = _made(self._cache).iterdir()
        return [path for path in folders if path.is_dir() and path.name != SHARED_SCOPE]

    def trim(self, budget: int) -> Trimmed:
        """Bring all caches to `budget` bytes, see `worker.local_cache`."""
        return trim(_made(self._cache), budget)

    def note_growth(self) -> None:
        """Say that the caches may have grown, to whichever process trims them next."""
        (_made(self._cache) / _GROWN).touch()

    def trim_if_due(self, budget: int) -> Trimmed | None:
        """Trim if the caches may have grown since the last time, and that is a minute ago.

        Reading all of them takes as long as they are large, and a small training ends in less.
        """
        cache = _made(self._cache)
        last = _touched(cache / _TRIMMED)
        if _touched(cache / _GROWN) <= last or time.time() - last < _TRIM_SECONDS:
            return None
        (cache / _TRIMMED).touch()  # before the look: what grows meanwhile is for the next one
        return trim(cache, budget)

    def folder(self, run: str) -> Path:
        """Return where the workspace of an attempt is while it is held."""
        return self._work / run

    @contextmanager
    def workspace(self, run: str) -> Iterator[Path]:
        """Yield an empty folder of one attempt, deleted at the end; `run` names it alone."""
        folder = self.folder(run)
        with _locked(_made(self._work), fcntl.LOCK_SH):
            shutil.rmtree(folder, ignore_errors=True)
            held = _opened(_made(folder))
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)

    def sweep(self) -> int:
        """Delete the workspaces that nobody holds any more; return how many."""
        with _locked(_made(self._work), fcntl.LOCK_EX):
            left = [path for path in self._work.iterdir() if path.is_dir() and not _is_held(path)]
            for path in left:
                shutil.rmtree(path, ignore_errors=True)
        return len(left)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _touched(path: Path) -> float:
    """Return when a file was last written, 0 for none."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Hold a lock on `folder`: no sweep sees a workspace that is made but not yet held."""
    opened = _opened(folder)
    try:
        fcntl.flock(opened, kind)
        yield
    finally:
        os.close(opened)


def _is_held(folder: Path) -> bool:
    try:
        opened = _opened(folder)
    except FileNotFoundError:  # its run has just ended
        return True
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False
