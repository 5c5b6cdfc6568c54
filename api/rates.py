"""How many requests a key may send: a token bucket for each, in this process's memory.

No storage of other processes is on a request's path: each process lets its part of the rate
through (docs/adr/0011). May import api.settings and the standard library.
"""

import math
import threading
import time
from typing import NamedTuple

from api.settings import ApiSettings

_SWEEP_FROM = 10_000


class Standing(NamedTuple):
    """Where a key stands after a request: of `limit` it has `remaining`, all in `reset` seconds.

    `wait` is 0, or in how many whole seconds a refused request would be let in.
    """

    limit: int
    remaining: int
    reset: int
    wait: int


class _Bucket:
    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at


class Rates:
    """Lets `requests` of each key through at once, and as many again in each `seconds`."""

    def __init__(self, requests: int, seconds: float) -> None:
        self._size = requests
        self._per_second = requests / seconds
        self._lock = threading.Lock()
        self._buckets: dict[bytes, _Bucket] = {}

    @classmethod
    def of(cls, api: ApiSettings) -> "Rates":
        """Return this process's part of the rate that the settings allow."""
        return cls(max(1, api.rate_requests // api.workers), api.rate_seconds)

    def take(self, key: bytes, now: float | None = None) -> Standing:
        """Count one request of a key; `now` is on the monotonic clock."""
        now = time.monotonic() if now is None else now
        with self._lock:
            if len(self._buckets) >= _SWEEP_FROM:
                self._forget_full(now)
            bucket = self._buckets.setdefault(key, _Bucket(self._size, now))
            bucket.tokens = self._filled(bucket, now)
            bucket.at = now
            let_in = bucket.tokens >= 1
            bucket.tokens -= let_in
            tokens = bucket.tokens
        reset = math.ceil((self._size - tokens) / self._per_second)
        wait = 0 if let_in else math.ceil((1 - tokens) / self._per_second)
        return Standing(self._size, int(tokens), reset, wait)

    def _filled(self, bucket: _Bucket, now: float) -> float:
        return min(self._size, bucket.tokens + (now - bucket.at) * self._per_second)

    def _forget_full(self, now: float) -> None:
        """A full bucket says no more than none does."""
        full = [key for key, one in self._buckets.items() if self._filled(one, now) >= self._size]
        for key in full:
            del self._buckets[key]
