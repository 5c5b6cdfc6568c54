"""Engines and transactions: one `write()` or `read()` block is one short transaction.

On SQLite a write begins IMMEDIATE, so that it waits for its turn instead of failing half-way.
On PostgreSQL a transaction of one tenant says whose it is (`db.row_security`).
"""

import contextlib
import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from db.row_security import hold_to

# Together below the 10 s in which every request is answered.
_TURN_SECONDS = 2
_BUSY_SECONDS = 7


class Database:
    """One database, opened by URL; share one object in a process, make a new one after a fork."""

    def __init__(self, url: str, pool_size: int = 5) -> None:
        self.engine = _engine(url, pool_size)
        self._reader = self.engine.execution_options(sqlite_begin="DEFERRED")
        self._turn = threading.Lock()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    def of(self, tenant_id: str) -> "Database":
        """Return this database as one tenant sees it; connections are shared.

        Row-level security holds each of its transactions to the tenant's rows. SQLite has no
        such thing, and this is the same database there.
        """
        if self.is_sqlite:
            return self
        bound = copy.copy(self)
        bound.engine = self.engine.execution_options(tenant_id=tenant_id)
        bound._reader = bound.engine  # noqa: SLF001 - of the same class
        return bound

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session whose transaction commits at the block's end, or rolls back."""
        session = Session(self.engine, expire_on_commit=False)
        with self._in_turn(), session, session.begin():
            yield session

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """On SQLite, let threads write one after another: its own waiting sleeps, in no order.

        Whoever waits too long takes its chance with SQLite: a process that holds the write lock
        for long must not make the threads of this one wait for each other's time-outs.
        """
        is_mine = self.is_sqlite and self._turn.acquire(timeout=_TURN_SECONDS)
        try:
            yield
        finally:
            if is_mine:
                self._turn.release()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session that sees one snapshot and writes nothing."""
        with Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            yield session

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def _engine(url: str, pool_size: int) -> Engine:
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(url, pool_size=pool_size, connect_args={"timeout": _BUSY_SECONDS})
        event.listen(engine, "do_connect", _keep_private)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    # Who stops in the middle of a transaction is hung up on before those behind it give up.
    options = (
        "-c statement_timeout=30s -c lock_timeout=8s -c idle_in_transaction_session_timeout=5s"
    )
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args={"options": options, "connect_timeout": 5},
    )
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _keep_private(_dialect: object, _record: object, where: list[str], _given: object) -> None:
    """Create the file for its owner alone: SQLite would let everybody read it."""
    with contextlib.suppress(OSError):  # no file, or no folder for it: connecting says so better
        if where and where[0] != ":memory:":
            Path(where[0]).touch(mode=0o600)


def _configure_sqlite(connection: Any, _record: object) -> None:
    # The driver's own transaction control would begin too late; we begin ourselves below.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # what is deleted must not be left in free pages
        f"busy_timeout={_BUSY_SECONDS * 1000}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _begin_postgresql(connection: Connection) -> None:
    tenant_id = connection.get_execution_options().get("tenant_id")
    if tenant_id is not None:
        hold_to(connection, tenant_id)
