"""What a process of ours does so that none outlives its parent.

`python -m core.processes PARENT SIGNAL COMMAND …` becomes COMMAND, bound to that parent: safer
than a `preexec_fn`, which may deadlock in a process that has threads.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_FIRST_TO_GO = "500"
_OF_ALL = Path("/proc/vmstat")
# The controller's name, which version 2 has none of; where groups lie; the file that counts.
_MEMORY_GROUPS = (
    ("memory", Path("/sys/fs/cgroup/memory"), "memory.oom_control"),
    ("", Path("/sys/fs/cgroup"), "memory.events"),
)


def die_with_parent(expected_parent: int, sig: int = signal.SIGKILL) -> None:
    """Ask Linux to send `sig` to this process when its parent thread ends; elsewhere do nothing.

    `expected_parent` closes the race in which the parent died before the call (prctl(2)).
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sig)
    if os.getppid() != expected_parent:
        os.kill(os.getpid(), sig)


def bound(command: list[str], sig: int = signal.SIGKILL) -> list[str]:
    """Return the command line that runs `command` so that it dies with this process."""
    return [sys.executable, "-m", "core.processes", str(os.getpid()), str(int(sig)), *command]


def kill_counter(pid: int) -> Path:
    """Return where Linux counts what it has killed for lack of memory in a process's own group.

    The whole machine's count where its group of memory cannot be read: another service's loss
    would look like this one's (cgroups(7); `memory.events` of version 2, of version 1
    `memory.oom_control`).
    """
    for line in _lines(Path(f"/proc/{pid}/cgroup")):
        _, controllers, group = line.split(":", 2)
        for wanted, mount, name in _MEMORY_GROUPS:
            counter = mount / group.lstrip("/") / name
            if wanted in controllers.split(",") and counter.is_file():
                return counter
    return _OF_ALL


def oom_kills(counter: Path) -> int:
    """Return how many processes such a counter has seen killed; 0 for ever where there is none."""
    for line in _lines(counter):
        name, _, count = line.partition(" ")
        if name == "oom_kill":
            return int(count)
    return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def offer_to_oom_killer(pid: int) -> None:
    """Let Linux kill this process before others where memory is short; elsewhere do nothing.

    It has the most memory and loses the least: its job runs again (proc_pid_oom_score_adj(5)).
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(_FIRST_TO_GO)


def _become(arguments: list[str]) -> None:
    parent, sig, *command = arguments
    die_with_parent(int(parent), int(sig))
    os.execvp(command[0], command)  # noqa: S606 - replaces this process on purpose


if __name__ == "__main__":
    _become(sys.argv[1:])
