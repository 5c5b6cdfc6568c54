"""How control learns at once that a job moved, without asking all the time.

PostgreSQL: NOTIFY with each change of status, LISTEN in control. SQLite: a counter that the
library keeps of other connections' commits. Whatever is missed is found by the next look.
"""

import threading
import time
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.session import Database

CHANNEL = "regraft_job_moved"
LONGEST_SLEEP = 0.25
_NOTIFY = text(f"NOTIFY {CHANNEL}")


def wake(session: Session) -> None:
    """Wake control when this transaction commits."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_NOTIFY)


class Sleeper:
    """Sleeps until a job may have moved; used by one thread, with a connection of its own."""

    def __init__(self, database: Database, interval: float, stopping: threading.Event) -> None:
        self._database = database
        self._interval = interval
        self._stopping = stopping
        self._connection: Any = None
        self._version: int | None = None

    def sleep(self) -> None:
        """Return after a commit of somebody else's, or after a quarter of a second.

        Raises whatever the database's driver raises, and then connects anew the next time.
        """
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._wait_for_commit() if self._database.is_sqlite else self._wait_for_notify()
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> Any:
        pooled = self._database.engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        if not self._database.is_sqlite:
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def _wait_for_commit(self) -> None:
        deadline = time.monotonic() + LONGEST_SLEEP
        while time.monotonic() < deadline and not self._stopping.wait(self._interval):
            version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:
                self._version = version
                return

    def _wait_for_notify(self) -> None:
        for _ in self._connection.notifies(timeout=LONGEST_SLEEP, stop_after=1):
            return
