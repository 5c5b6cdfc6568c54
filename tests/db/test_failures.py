"""What a failed statement means for whoever asked."""

from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from core.refusals import RefusedError
from db.failures import code_of
from db.session import Database
from regraft.contract.errors import ErrorCode
from tests.support.postgres import Postgres


def _failure(database: Database, statement: str) -> Exception:
    with pytest.raises(DBAPIError) as caught, database.write() as session:
        session.execute(text(statement))
    return caught.value


def test_our_own_mistakes_are_not_the_databases(database: Database) -> None:
    """A bug would be shown as an outage, and retried for ever."""
    constraint = "INSERT INTO blob (scope, sha256) VALUES (NULL, NULL)"
    assert code_of(_failure(database, constraint)) is None
    assert code_of(ValueError("x")) is None
    assert code_of(RefusedError(ErrorCode.CONFLICT, "x")) is None


def test_a_database_out_of_reach() -> None:
    """A merchant would be told that the service is broken while it restarts."""
    for url in ("sqlite:////nowhere/regraft.db", "postgresql+psycopg://x@/x?host=/nowhere"):
        database = Database(url)
        assert code_of(_failure(database, "SELECT 1")) is ErrorCode.UNAVAILABLE
        database.dispose()


def test_a_full_disk(tmp_path: Path) -> None:
    """A merchant would try again all day, though only an administrator can help."""
    database = Database(f"sqlite:///{tmp_path / 'small.db'}")
    event.listen(database.engine, "connect", lambda raw, _: raw.execute("PRAGMA max_page_count=20"))
    with database.write() as session:
        session.execute(text("CREATE TABLE t (data BLOB)"))
    full = _failure(database, "INSERT INTO t VALUES (zeroblob(1000000))")
    assert code_of(full) is ErrorCode.STORAGE_FULL
    database.dispose()


def test_a_closed_connection(postgres: Postgres) -> None:
    """A restart of the database would be a fault of ours for each pooled connection."""
    database = Database(postgres.url())
    killed = "SELECT pg_terminate_backend(pg_backend_pid())"
    assert code_of(_failure(database, killed)) is ErrorCode.UNAVAILABLE
    database.dispose()
