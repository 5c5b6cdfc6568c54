"""What a run reports to be gone on from, stored as it comes."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_JOIN_SECONDS = 2.0
Report = TypeVar("Report")


class Keeper(Generic[Report]):
    """Stores reports in a thread of its own, so that a slow database never hides a wish.

    `store` raises nothing: what cannot be stored costs progress, never the job.
    """

    def __init__(self, store: Callable[[Report], None]) -> None:
        self._store = store
        self._reports: queue.Queue[Report | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether something that was reported is not stored yet."""
        return self._reports.unfinished_tasks > 0

    def keep(self, report: Report) -> None:
        """Store a report soon."""
        self._reports.put(report)

    def close(self) -> None:
        """Let the thread end; what one that hangs writes too late, its fence refuses."""
        self._reports.put(None)
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while (report := self._reports.get()) is not None:
            try:
                self._store(report)
            finally:
                self._reports.task_done()
