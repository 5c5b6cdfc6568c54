"""What a process of ours does so that none outlives its parent.

`python -m core.processes PARENT SIGNAL COMMAND …` becomes COMMAND, bound to that parent: safer
than a `preexec_fn`, which may deadlock in a process that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


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


def _become(arguments: list[str]) -> None:
    parent, sig, *command = arguments
    die_with_parent(int(parent), int(sig))
    os.execvp(command[0], command)  # noqa: S606 - replaces this process on purpose


if __name__ == "__main__":
    _become(sys.argv[1:])
