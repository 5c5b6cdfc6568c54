"""What the decoding child gives up before it looks at a stranger's bytes.

It already has no secrets, no connections and a session of its own; may import the standard
library.
"""

import ctypes
import resource
import signal
import sys
from pathlib import Path

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000  # of <linux/sched.h>
_CORE_FILES = 0
_OPEN_FILES = 32
_WRITTEN_BYTES = 512 * 1024 * 1024


def leave_network() -> bool:
    """Move this process to a network of its own that leads nowhere; tell whether that is allowed.

    A container or a kernel may refuse it to whoever is not root. Call it before anything that
    binds the process to its parent's life: the kernel forgets that with a new user namespace.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (_NEW_NET, _NEW_USER | _NEW_NET))


def enter(memory: int) -> None:
    """Limit this process to `memory` more bytes of address space than its code has taken.

    Few open files, and no core dumps.
    """
    _limit(resource.RLIMIT_AS, _taken() + memory)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_FSIZE, _WRITTEN_BYTES)
    _limit(resource.RLIMIT_CORE, _CORE_FILES)


def allow_cpu(seconds: float) -> None:
    """End this process (SIGXCPU) once it has used `seconds` more of a processor."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def _taken() -> int:
    """Return the address space in use, in bytes; 0 where Linux's /proc is not there."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(what, (most, most))
