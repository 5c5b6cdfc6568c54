"""A closed-loop load generator over keep-alive connections, and what it measured.

Its own processor time is part of the figures: on two cores it competes with the service.
"""

import http.client
import json
import math
import statistics
import threading
import time
from collections.abc import Callable
from typing import NamedTuple


class Request(NamedTuple):
    """One request: method, path, and the JSON body or nothing."""

    method: str
    path: str
    body: dict[str, object] | None = None


class Figures(NamedTuple):
    """What a load measured; times in milliseconds."""

    requests: int
    failures: int
    per_second: float
    p50: float
    p99: float
    generator_cpu: float

    def shown(self) -> dict[str, float]:
        """Return the figures as JSON shows them."""
        return {name: round(value, 3) for name, value in self._asdict().items()}


class _Client(threading.Thread):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, address: str, key: str, make: Callable[[], Request], until: float) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection(address, timeout=30)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._make = make
        self._until = until
        self.seconds: list[float] = []
        self.failures = 0

    def run(self) -> None:
        """Ask until the time is over."""
        while time.perf_counter() < self._until:
            request = self._make()
            body = None if request.body is None else json.dumps(request.body)
            began = time.perf_counter()
            self._connection.request(request.method, request.path, body, self._headers)
            answer = self._connection.getresponse()
            answer.read()
            self.seconds.append(time.perf_counter() - began)
            self.failures += answer.status >= http.client.BAD_REQUEST
        self._connection.close()


def run(
    url: str, key: str, make: Callable[[], Request], *, clients: int, seconds: float
) -> Figures:
    """Load the service with `clients` connections for `seconds`."""
    address = url.removeprefix("http://")
    began, cpu = time.perf_counter(), time.process_time()
    threads = [_Client(address, key, make, began + seconds) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - began
    times = sorted(taken for thread in threads for taken in thread.seconds)
    return Figures(
        requests=len(times),
        failures=sum(thread.failures for thread in threads),
        per_second=len(times) / spent,
        p50=1000 * statistics.median(times),
        p99=1000 * times[math.ceil(0.99 * (len(times) - 1))],
        generator_cpu=1000 * (time.process_time() - cpu) / len(times),
    )
