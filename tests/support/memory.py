"""A group of processes with little memory, from which the kernel kills what takes more."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.jobs import wait_for

_LIMITS = (
    (Path("/sys/fs/cgroup"), "memory.max"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
)
_FILL = "import sys; print(flush=True); sys.stdin.read(1); x = bytearray(b'x' * (64 << 20))"


def filling_command(group: Path) -> list[str]:
    """Return what joins a group, says a line, waits for a letter or the end, and takes 64 MiB."""
    join = f'echo $$ > {group}; exec "$@"'
    return ["sh", "-c", join, "sh", sys.executable, "-c", _FILL]


@contextmanager
def memory_group(limit: int) -> Iterator[Path | None]:
    """Make a group of processes with so little memory; yield the file that a process joins by.

    Yields None where this user may not make one: the kernel kills nobody then.
    """
    found = [pair for pair in _LIMITS if (pair[0] / "cgroup.procs").exists()]
    group = found[0][0] / f"regraft-{os.getpid()}" if found else Path()
    try:
        group.mkdir()
        (group / found[0][1]).write_text(str(limit))
    except OSError:
        with suppress(OSError):
            group.rmdir()
        yield None
        return
    members = group / "cgroup.procs"
    yield members
    wait_for(lambda: not members.read_text(), 10)
    group.rmdir()
