"""How many slow requests of each kind run at once, so that ordinary ones always find a thread.

May import core and regraft.contract.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from api.settings import ApiSettings
from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode


class Gate:
    """Lets `places` requests in, of one merchant at most half of them.

    Whoever is not let in hears so at once: `unavailable`, with `Retry-After`.
    """

    def __init__(self, kind: str, places: int) -> None:
        self._kind = kind
        self._places = places
        self._of_one = max(1, places // 2)
        self._lock = threading.Lock()
        self._inside: Counter[str] = Counter()

    def enter(self, tenant_id: str) -> None:
        """Take a place, to be given back with `leave`; raises `unavailable`."""
        with self._lock:
            if self._inside[tenant_id] >= self._of_one:
                raise _full(f"You have {self._of_one} {self._kind} under way already.")
            if self._inside.total() >= self._places:
                raise _full(f"The service has {self._places} {self._kind} under way already.")
            self._inside[tenant_id] += 1

    def leave(self, tenant_id: str) -> None:
        """Give a place back."""
        with self._lock:
            self._inside[tenant_id] -= 1
            if not self._inside[tenant_id]:
                del self._inside[tenant_id]

    @contextmanager
    def held(self, tenant_id: str) -> Iterator[None]:
        """Hold a place for a block."""
        self.enter(tenant_id)
        try:
            yield
        finally:
            self.leave(tenant_id)


class Gates(NamedTuple):
    """One gate for each kind of slow request of a process."""

    uploads: Gate
    downloads: Gate
    streams: Gate
    predictions: Gate

    @classmethod
    def of(cls, api: ApiSettings) -> "Gates":
        """Return the gates that the settings ask for, nobody inside."""
        return cls(
            Gate("uploads", api.uploads),
            Gate("downloads", api.downloads),
            Gate("event streams", api.streams),
            Gate("predictions", api.predictions),
        )


def _full(message: str) -> RefusedError:
    return RefusedError(ErrorCode.UNAVAILABLE, message)
