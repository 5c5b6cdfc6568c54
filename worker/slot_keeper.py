"""Keeps this child's slot alive in SQL from a thread of its own, whatever the job does.

The same thread tidies the host's caches at the start and when an erasure has ended, and brings
them back to their budget at most once a minute.
"""

import threading

from sqlalchemy.exc import SQLAlchemyError

from core.logs import logger
from core.settings import Settings
from db.lifecycle import erasing, slots
from db.session import Database
from worker.forgetting import forget
from worker.places import Places

_JOIN_SECONDS = 2.0
_log = logger(__name__)


class SlotKeeper:
    """Registers the slot at once and renews it every heartbeat until `close`."""

    def __init__(
        self, database: Database, slot_id: str, settings: Settings, places: Places
    ) -> None:
        self._database = database
        self._slot_id = slot_id
        self._settings = settings
        self._places = places
        self._tidied: float | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slot", daemon=True)

    def start(self) -> None:
        """Begin; a database that is down is asked again at the next heartbeat."""
        self._thread.start()

    def close(self) -> None:
        """Stop renewing and take the slot away, unless the database does not answer."""
        self._closing.set()
        self._thread.join(_JOIN_SECONDS)
        try:
            with self._database.write() as session:
                slots.remove(session, self._slot_id)
        except SQLAlchemyError as error:
            _log.warning("slot not removed", slot=self._slot_id, error=str(error))

    def _run(self) -> None:
        self._renew()
        while not self._closing.wait(self._settings.timings.heartbeat):
            self._renew()
            self._tidy()
            self._trim()

    def _tidy(self) -> None:
        """Forget what was erased since the last time; what is in use is tried again."""
        try:
            with self._database.read() as session:
                newest = erasing.newest(session)
            if newest != self._tidied and not forget(self._database, self._places):
                self._tidied = newest
        except (SQLAlchemyError, OSError) as error:
            _log.warning("caches not tidied", slot=self._slot_id, error=str(error)[:500])

    def _trim(self) -> None:
        try:
            trimmed = self._places.trim_if_due(self._settings.cache_bytes)
        except OSError as error:
            _log.warning("cache not trimmed", slot=self._slot_id, error=str(error)[:500])
        else:
            if trimmed is not None:
                _log.info("cache trimmed", taken=trimmed.taken, left=trimmed.left)

    def _renew(self) -> None:
        try:
            with self._database.write() as session:
                slots.register(
                    session,
                    self._slot_id,
                    device_class=self._settings.device_class,
                    lease=self._settings.timings.lease,
                )
        except SQLAlchemyError as error:
            _log.warning("slot not renewed", slot=self._slot_id, error=str(error))
