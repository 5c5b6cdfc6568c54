"""PostgreSQL's roles: an owner that migrates, `system` for the services, `app` for merchants.

`system` runs control, the workers and the look-up of keys and bypasses row-level security; `app`
is held by it and may do what the API does. Both are made by `python -m db.migrate` with the names
and passwords of their URLs, where the owner may make roles. May import core.settings and db.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url

import db.models  # noqa: F401 - registers every table
from core.settings import Settings
from db.base import Base
from db.session import Database

_APP_READS = frozenset({"device_use", "fair_share", "worker_slot"})
_APP_GRANTS = {
    "api_key": "",
    "audit_entry": "SELECT, INSERT",
    # A row lock needs the right to change something.
    "tenant": "SELECT, UPDATE (name)",
    **dict.fromkeys(_APP_READS, "SELECT"),
}
_ALL = "SELECT, INSERT, UPDATE, DELETE"
_ATTRIBUTES = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :name")
_VARIABLES = {True: "REGRAFT_DATABASE_URL", False: "REGRAFT_DATABASE_APP_URL"}
_MINE = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")


class RolesError(Exception):
    """The roles are not what row-level security needs; the message says what to run."""


def make(given: Settings) -> None:
    """Make the roles that are missing; on SQLite there are none.

    Raises:
        RolesError: a role is not what it must be, or cannot be made.
    """
    system, app = make_url(given.url), make_url(given.app_url)
    if system.get_backend_name() != "postgresql":
        return
    with _as_owner(given) as connection:
        _require(connection, system, bypasses=True)
        if app.username != system.username:
            _require(connection, app, bypasses=False)


def grant(given: Settings) -> None:
    """Grant each role what it needs of the tables that there are now, as their owner."""
    owner, system, app = map(make_url, (given.owner_url, given.url, given.app_url))
    if system.get_backend_name() != "postgresql":
        return
    with _as_owner(given) as connection:
        if system.username != owner.username:
            _grant(connection, system, {})
        if app.username not in {owner.username, system.username}:
            _grant(connection, app, _APP_GRANTS)


def is_held(database: Database) -> bool:
    """Tell whether row-level security holds this database's role; SQLite has no roles to hold."""
    if database.is_sqlite:
        return True
    with database.read() as session:
        return not session.scalar(_MINE)


@contextmanager
def _as_owner(given: Settings) -> Iterator[Connection]:
    database = Database(given.owner_url)
    try:
        with database.engine.begin() as connection:
            yield connection
    finally:
        database.dispose()


def _require(connection: Connection, url: URL, *, bypasses: bool) -> None:
    """Make a role where it is missing; raise where it is there and is another kind."""
    kind = "BYPASSRLS" if bypasses else "NOBYPASSRLS"
    found = connection.scalar(_ATTRIBUTES, {"name": url.username})
    name = _quoted(connection, url.username)
    if found is None:
        _create(connection, url, f"CREATE ROLE {name} LOGIN {kind}")
    elif found is not bypasses:
        raise RolesError(
            f"the role {name} {'is held by' if bypasses else 'bypasses'} row-level security: run "
            f"`ALTER ROLE {name} {'' if bypasses else 'NOSUPERUSER '}{kind}` as a superuser, or "
            f"name another role in {_VARIABLES[bypasses]}"
        )


def _create(connection: Connection, url: URL, statement: str) -> None:
    if not connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
        raise RolesError(f"the role {url.username} is missing: run `{statement}` as a superuser")
    driver: Any = connection.connection.driver_connection
    # The server's log may keep statements: it gets the verifier, never the password.
    name, password = (str(part or "").encode() for part in (url.username, url.password))
    verifier = driver.pgconn.encrypt_password(password, name, b"scram-sha-256")
    connection.exec_driver_sql(f"{statement} PASSWORD '{verifier.decode()}'")


def _grant(connection: Connection, url: URL, narrower: dict[str, str]) -> None:
    """Grant a role every table, or what `narrower` says of one; later tables at the next call."""
    name = _quoted(connection, url.username)
    for table in Base.metadata.sorted_tables:
        rights = narrower.get(table.name, _ALL)
        if rights:
            connection.exec_driver_sql(f"GRANT {rights} ON {table.name} TO {name}")
    connection.exec_driver_sql(f"GRANT SELECT ON alembic_version TO {name}")
    connection.exec_driver_sql(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {name}")


def _quoted(connection: Connection, name: str | None) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name or "")
