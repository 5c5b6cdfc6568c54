"""What the service answered, and what of that it never may."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_SLOWEST = 10.0
_FAULT, _REFUSED = 500, 400
_MOST_SHOWN = 20
# The answer to a transfer coding that nobody knows (RFC 9112, 6.1); nothing of ours failed.
_NOT_IMPLEMENTED = 501


class Tally:
    """Counts answers by kind of request and status; keeps the first of each kind of breach."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self.faults = 0
        self.breaches: list[str] = []

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Count a request, and hold the time that its answer takes against the limit."""
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        with self._lock:
            self.requests[kind] += 1
            self.slowest = max(self.slowest, seconds)
        if seconds >= _SLOWEST:
            self.breach(f"{kind}: {seconds:.1f} s for an answer")

    def answered(self, kind: str, status: int, body: bytes, sent: object) -> None:
        """Judge one answer: no fault of ours, and every refusal in the envelope."""
        with self._lock:
            self.statuses[status] += 1
        if status >= _FAULT and status != _NOT_IMPLEMENTED:
            with self._lock:
                self.faults += 1
            self.breach(f"{kind}: {status} to {sent!r:.300}")
        elif status >= _REFUSED and body and not _is_envelope(body):
            self.breach(f"{kind}: {status} without the envelope to {sent!r:.300}")

    def breach(self, what: str) -> None:
        """Keep what must not happen."""
        with self._lock:
            self.breaches.append(what)

    def shown(self) -> dict[str, object]:
        """Return the figures of the JSON line."""
        return {
            "requests": dict(self.requests),
            "statuses": {str(status): self.statuses[status] for status in sorted(self.statuses)},
            "5xx": self.faults,
            "slowest_seconds": round(self.slowest, 3),
            "breaches": self.breaches[:_MOST_SHOWN],
        }


def _is_envelope(body: bytes) -> bool:
    try:
        return set(json.loads(body)) == {"error"}
    except (ValueError, TypeError):
        return False
