"""PostgreSQL's row-level security: a second wall round each tenant, behind `db.tenancy`.

A transaction says whose it is in the setting `regraft.tenant`, and every policy compares with it;
without one no row is seen or written. Roles that bypass this are told apart in `db.roles`.
A migration that makes a tenant's table calls `protect`; SQLite knows none of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import op
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

TENANT = "(SELECT nullif(current_setting('regraft.tenant', true), ''))"
_QUEUE = "(SELECT current_setting('regraft.queue', true)) = 'on'"
_HOLD = "SELECT set_config('regraft.tenant', %s, true)"
_SEE_QUEUE = text("SELECT set_config('regraft.queue', :seen, true)")


def hold_to(connection: Connection, tenant_id: str) -> None:
    """Hold the transaction that has begun to one tenant's rows."""
    connection.exec_driver_sql(_HOLD, (tenant_id,))


@contextmanager
def whole_queue(session: Session) -> Iterator[None]:
    """Let a block read what decides about everybody's place in the queue, and write nothing of it.

    That is rows of `job`, `fair_share` and `tenant`; whoever asks for them shows totals alone.
    """
    if session.get_bind().dialect.name == "sqlite":
        yield
        return
    session.execute(_SEE_QUEUE, {"seen": "on"})
    yield
    # Not in a `finally`: a transaction that failed takes no more, and the setting ends with it.
    session.execute(_SEE_QUEUE, {"seen": ""})


def protect(table: str, column: str = "tenant_id") -> None:
    """In a migration: hold whoever uses a table to one tenant's rows, its owner too."""
    _run(
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY tenant ON {table} USING ({column} = {TENANT})",
    )


def unprotect(table: str) -> None:
    """In a migration: undo `protect`."""
    _run(
        f"DROP POLICY tenant ON {table}",
        f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    )


def let_see(table: str, policy: str, rows: str) -> None:
    """In a migration: let every transaction read these rows of a protected table besides."""
    _run(f"CREATE POLICY {policy} ON {table} FOR SELECT USING ({rows})")


def let_see_queue(table: str) -> None:
    """In a migration: let `whole_queue` read a protected table."""
    let_see(table, "queue", _QUEUE)


def drop_policy(table: str, policy: str) -> None:
    """In a migration: undo `let_see`."""
    _run(f"DROP POLICY {policy} ON {table}")


def _run(*statements: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in statements:
            op.execute(statement)
