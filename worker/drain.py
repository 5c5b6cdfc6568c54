"""The drain flag: set by the Celery parent on TERM or QUIT, polled by every child.

One byte of memory shared over the fork and no lock: a child that is killed while it looks at
a `multiprocessing.Event` would leave it locked, and the parent's shutdown would hang for ever.
"""

import mmap


class DrainFlag:
    """Make it before the fork; `set` is safe in a signal handler."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Ask every child to give its job back."""
        self._shared[0] = 1

    def is_set(self) -> bool:
        """Tell whether this worker is shutting down."""
        return self._shared[0] == 1
