"""Where a worker keeps files below `home`: caches that may be deleted, and a run's workspace.

May import the standard library.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.blobs import SHARED_SCOPE


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

    @contextmanager
    def workspace(self, run: str) -> Iterator[Path]:
        """Yield an empty folder of one attempt, deleted at the end."""
        folder = self._work / f"{_host()}+{os.getpid()}+{run}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            yield _made(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> int:
        """Delete the workspaces that dead processes of this host left; return how many."""
        left = [path for path in _made(self._work).iterdir() if _is_left_over(path.name)]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return len(left)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _host() -> str:
    return socket.gethostname().replace("+", "-")


def _is_left_over(name: str) -> bool:
    """A folder on a shared disk may belong to another host: that host sweeps it."""
    host, _, rest = name.partition("+")
    pid = rest.partition("+")[0]
    return host == _host() and pid.isdecimal() and not _is_alive(int(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
