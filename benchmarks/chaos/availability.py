"""When SQL, Redis and a worker for one more job were all there: what a recovery is measured from.

A thread asks ten times a second; what does not answer within a second counts as down.
"""

import contextlib
import socket
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.chaos.cluster import Cluster
from db.base import now
from db.models import Job, WorkerSlot
from regraft.contract.status import JobStatus
from tests.support.fleet import is_running

_TICK_SECONDS = 0.1
_SLOW_SECONDS = 1.0


class Availability(threading.Thread):
    """Keeps, for each device class, the times at which a job could not have been started."""

    def __init__(self, cluster: Cluster, classes: tuple[str, ...]) -> None:
        super().__init__(name="availability", daemon=True)
        self._cluster = cluster
        self._able: dict[str, list[float]] = {name: [] for name in classes}
        self._unable: dict[str, list[float]] = {name: [] for name in classes}
        self._down: list[float] = []
        self._closing = threading.Event()

    def run(self) -> None:
        """Ask until closed."""
        while not self._closing.wait(_TICK_SECONDS):
            free = self._free()
            if free is None:
                self._down.append(time.time())
            for device_class in self._able:
                able = free is not None and device_class in free
                (self._able if able else self._unable)[device_class].append(time.time())

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        self.join()

    def first_able(self, device_class: str, after: float, before: float) -> float:
        """Return when all of it was there for the first time since SQL and Redis came back."""
        start = max(after, _last(self._down, before))
        times = self._able[device_class]
        found = bisect_left(times, start)
        return min(before, times[found]) if found < len(times) else before

    def able_since(self, device_class: str, after: float, before: float) -> float:
        """Return from when on, in a span of time, all of it was there to the span's end."""
        last = _last(self._unable[device_class], before)
        return min(before, max(after, last + _TICK_SECONDS))

    def _free(self) -> set[str] | None:
        """Return the classes that could start a job, None where SQL or Redis is not there."""
        began = time.monotonic()
        if not self._redis_answers():
            return None
        with contextlib.suppress(SQLAlchemyError):
            free = self._free_classes()
            return free if time.monotonic() - began < _SLOW_SECONDS else None
        return None

    def _free_classes(self) -> set[str]:
        """Return the classes that have a live slot without a job for each job that waits.

        A slot counts if its process is not stopped. Where more jobs wait than slots are free, a
        job waits for its turn and not for its recovery.
        """
        slots = select(WorkerSlot.device_class, WorkerSlot.pid).where(
            WorkerSlot.job_id.is_(None), WorkerSlot.lease_until >= now()
        )
        waiting = select(Job.device_class, func.count()).where(
            Job.status == JobStatus.QUEUED, Job.run_after <= now()
        )
        # A write transaction: readers of SQLite get by where nobody can move a job.
        with self._cluster.database.write() as session:
            rows = session.execute(slots).all()
            jobs = {row[0]: row[1] for row in session.execute(waiting.group_by(Job.device_class))}
        free = Counter(row.device_class for row in rows if is_running(row.pid))
        return {name for name, count in free.items() if count >= jobs.get(name, 0)}

    def _redis_answers(self) -> bool:
        try:
            with socket.create_connection(
                ("127.0.0.1", self._cluster.redis.port), timeout=_SLOW_SECONDS
            ) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _last(times: list[float], before: float) -> float:
    """Return the last of some times up to one, 0 where there is none."""
    found = bisect_right(times, before)
    return times[found - 1] if found else 0.0
