"""The heartbeat of one attempt: renews the lease and writes what the run reports, in a thread.

A thread of its own, so that packing, staging or a slow disk never costs the lease.
"""

import threading
import time
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from core.logs import logger
from core.settings import Timings
from db.lifecycle import heartbeat
from db.lifecycle.guard import Held
from db.lifecycle.heartbeat import Note, Report
from db.session import Database
from regraft.contract.resources import Progress
from regraft.contract.status import EventLevel, RequestedAction

_TICK_SECONDS = 0.25
_JOIN_SECONDS = 2.0
_KEPT_NOTES = 1000
_log = logger(__name__)


class Heart:
    """Beats while its block runs; `lost`, `wish` and `silent_for` say what it learned.

    `since` is the monotonic time just before the claim: the lease cannot have begun earlier.
    """

    def __init__(self, database: Database, held: Held, timings: Timings, since: float) -> None:
        self._database = database
        self._held = held
        self._timings = timings
        self._confirmed = since
        self._tried = since
        self._report = Report()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self.lost = False
        self.wish: RequestedAction | None = None

    @property
    def silent_for(self) -> float:
        """Seconds since a renewal that succeeded was sent, by the monotonic clock."""
        return time.monotonic() - self._confirmed

    def progress(self, progress: Progress) -> None:
        """Say where the run is; the newest counts."""
        with self._lock:
            self._report.progress = progress.model_dump(mode="json")

    def note(self, level: EventLevel, message: str, data: dict[str, object]) -> None:
        """Add a line to the job's history."""
        with self._lock:
            if len(self._report.notes) < _KEPT_NOTES:
                self._report.notes.append(Note(level, message, data))

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Add values of named series."""
        with self._lock:
            self._report.metrics.update({(name, step): value for name, value in values.items()})

    def take_report(self) -> Report:
        """Return what is not written yet, and forget it."""
        with self._lock:
            taken, self._report = self._report, Report()
        return taken

    def give_back(self, report: Report) -> None:
        """Remember a report that was not written, before anything that came since."""
        with self._lock:
            newer = self._report
            self._report = Report(
                newer.progress or report.progress,
                (report.notes + newer.notes)[:_KEPT_NOTES],
                {**report.metrics, **newer.metrics},
            )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        # A beat that hangs in a dead connection is left behind: its fence will be stale.
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        tick = min(_TICK_SECONDS, self._timings.heartbeat)
        while not self._stopping.wait(tick) and not self.lost:
            waiting = time.monotonic() - self._tried
            if waiting >= self._timings.heartbeat or not self._report.is_empty():
                self._beat()

    def _beat(self) -> None:
        report = self.take_report()
        self._tried = time.monotonic()
        try:
            with self._database.write() as session:
                beat = heartbeat.beat(session, self._held, report, lease=self._timings.lease)
        except SQLAlchemyError as error:
            self.give_back(report)
            _log.warning("heartbeat failed", error=str(error)[:500])
            self._stopping.wait(_TICK_SECONDS)
            return
        if beat is None:
            self.lost = True
            return
        self._confirmed = self._tried
        self.wish = beat.wish
