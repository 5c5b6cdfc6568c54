"""Polling until something is over: often at first, then at leisure; standard library alone."""

import time
from collections.abc import Callable
from typing import TypeVar

from regraft.client.errors import WaitTimeout

Thing = TypeVar("Thing")
_FIRST = 0.2
_LONGEST = 2.0


def breathe() -> None:
    """Sleep between two looks at what changes slowly."""
    time.sleep(_LONGEST)


def poll(
    read: Callable[[], Thing],
    over: Callable[[Thing], bool],
    on_update: Callable[[Thing], None] | None,
    timeout: float | None,
) -> Thing:
    """Return the first reading that is over; `on_update` sees every reading.

    `timeout` is in seconds, None waits for ever.

    Raises:
        WaitTimeout: the time is up.
    """
    started = time.monotonic()
    while True:
        thing = read()
        if on_update is not None:
            on_update(thing)
        if over(thing):
            return thing
        waited = time.monotonic() - started
        if timeout is not None and waited >= timeout:
            raise WaitTimeout(f"not over after {timeout:g} s; it goes on at the service")
        time.sleep(min(_LONGEST, _FIRST + waited / 20))
