"""How long freed memory is kept: all of a run, since each step asks for the same again.

glibc hands every block above 32 MiB back to the kernel when it is freed, and the next step gets
pages that have to be filled with zeros first (mallopt(3), M_MMAP_THRESHOLD). A batch's activations
are such blocks. May import the standard library.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of malloc.h
_NEVER = -1
_GROWTH = 64 << 20


@contextmanager
def kept_memory() -> Iterator[None]:
    """Keep what is freed until the end, then give it back; nothing where libc is not glibc."""
    libc: Any = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    for name, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _GROWTH)):
        libc.mallopt(name, value)
    try:
        yield
    finally:
        libc.malloc_trim(0)
