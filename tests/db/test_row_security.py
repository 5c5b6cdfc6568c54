"""Row-level security on a real PostgreSQL: what the code forgets, the database refuses."""

import secrets
from collections.abc import Iterator

import pytest
from sqlalchemy import JSON, Boolean, Column, Float, Integer, LargeBinary, Table, func, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from db.base import Base
from db.models import Blob, Dataset, Job, Tenant
from db.repositories import queueing
from db.row_security import whole_queue
from db.session import Database
from tests.support.jobs import ready_dataset, submit
from tests.support.merchants import Merchant
from tests.support.postgres import APP, Postgres, as_role

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
# What belongs to nobody; a new table stands here or has a tenant.
OF_NOBODY = {"worker_slot"}
_COLUMNS = {"tenant": "id", "blob": "scope", "blob_chunk": "scope"}
OWNED = sorted(set(Base.metadata.tables) - OF_NOBODY)


def _column(table: str) -> str:
    return _COLUMNS.get(table, "tenant_id")


@pytest.fixture
def app(database_url: str) -> Iterator[Database]:
    """The same database for the role of merchants' requests."""
    opened = Database(as_role(database_url, APP))
    yield opened
    opened.dispose()


@pytest.fixture
def filled(
    database_url: str, postgres: Postgres, acme: Merchant, zenith: Merchant
) -> tuple[Merchant, Merchant]:
    """Both merchants with a row in every table, whatever the tables are."""
    superuser = Database(as_role(database_url, "postgres"))
    with superuser.engine.begin() as connection:
        # Without foreign keys: what a row means does not matter here.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        for name in sorted(set(OWNED) - {"tenant"}):
            table = Base.metadata.tables[name]
            for merchant in (acme, zenith):
                connection.execute(table.insert().values(_row(table, merchant.tenant_id)))
    superuser.dispose()
    return acme, zenith


def _row(table: Table, tenant_id: str) -> dict[str, object]:
    """Return values for every column that must have one, the tenant's where it names one."""
    needed = [column for column in table.c if not column.nullable and column.name != "seq"]
    values = {column.name: _value(column) for column in needed}
    if "seq" in table.c and table.c["seq"].autoincrement is not True:
        values["seq"] = secrets.randbits(20)
    return {**values, _column(table.name): tenant_id}


def _value(column: Column[object]) -> object:
    if isinstance(column.type, JSON):
        return {}
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, LargeBinary):
        return b""
    if isinstance(column.type, Integer | Float):
        return secrets.randbits(20)
    return secrets.token_hex(4)[: getattr(column.type, "length", None) or 8]


def _owners(database: Database, table: str) -> set[str]:
    column = Base.metadata.tables[table].c[_column(table)]
    with database.read() as session:
        return set(session.scalars(select(column).distinct()))


def test_every_tenants_table_has_its_policy(database: Database) -> None:
    """A table that is added without a policy would have one wall only, and nobody would notice."""
    forced = text(
        "SELECT relname FROM pg_class WHERE relrowsecurity AND relforcerowsecurity "
        "AND relnamespace = 'public'::regnamespace"
    )
    own = text(
        "SELECT tablename, qual FROM pg_policies WHERE policyname = 'tenant' AND cmd = 'ALL'"
    )
    with database.read() as session:
        walled = set(session.scalars(forced))
        policies = {str(row[0]): str(row[1]) for row in session.execute(own)}
    assert walled == set(policies) == set(OWNED)
    for table, words in policies.items():
        assert _column(table) in Base.metadata.tables[table].c, f"{table}: whose rows are these?"
        assert words.lstrip("(").startswith(_column(table)), table
        assert "regraft.tenant" in words, table


def test_each_merchant_sees_its_own_rows_alone(
    app: Database, database: Database, filled: tuple[Merchant, Merchant]
) -> None:
    """A forgotten condition in one query would show a merchant a competitor's products."""
    unreadable = {"api_key"}
    for table in sorted(set(OWNED) - unreadable):
        for merchant in filled:
            assert _owners(app.of(merchant.tenant_id), table) == {merchant.tenant_id}, table
        assert {one.tenant_id for one in filled} <= _owners(database, table), table
    for table in sorted(unreadable):
        with pytest.raises(ProgrammingError, match="permission denied"):
            _owners(app.of(filled[0].tenant_id), table)


def test_nobody_in_particular_sees_nothing(
    app: Database, owner: Database, filled: tuple[Merchant, Merchant]
) -> None:
    """A transaction that forgot to say whose it is, or an owner's shell, would show everything."""
    for table in sorted(set(OWNED) - {"api_key"}):
        assert _owners(app, table) == set(), table
        assert _owners(app.of(""), table) == set(), table
    for table in OWNED:
        assert _owners(owner, table) == set(), table


def test_a_setting_ends_with_its_transaction(
    app: Database, filled: tuple[Merchant, Merchant]
) -> None:
    """The next request on a pooled connection would be the merchant's before it."""
    for merchant in filled * 3:
        assert _owners(app.of(merchant.tenant_id), "job") == {merchant.tenant_id}
        assert _owners(app, "job") == set()


def test_nothing_is_written_for_another(app: Database, filled: tuple[Merchant, Merchant]) -> None:
    """A mixed-up id would put one merchant's rows among another's, or change them."""
    mine, other = filled
    for table in map(Base.metadata.tables.__getitem__, OWNED):
        theirs = table.c[_column(table.name)] == other.tenant_id
        with pytest.raises(DBAPIError, match=r"row-level security|permission denied"):
            _execute(app.of(mine.tenant_id), table.insert().values(_row(table, other.tenant_id)))
        for change in (table.delete(), table.update().values(_same(table))):
            assert _changed(app.of(mine.tenant_id), change.where(theirs)) == 0, table.name


def _changed(database: Database, statement: object) -> int:
    """Return how many rows were changed, none where the role has no right to."""
    try:
        return _execute(database, statement)
    except ProgrammingError as error:
        if "permission denied" not in str(error):
            raise
        return 0


def _same(table: Table) -> dict[str, object]:
    name = _column(table.name)
    return {name: table.c[name]}


def _execute(database: Database, statement: object) -> int:
    with database.write() as session:
        found: int = session.connection().execute(statement).rowcount  # type: ignore[call-overload]
        return found


def test_the_trail_and_the_keys_are_out_of_reach(app: Database, acme: Merchant) -> None:
    """Whoever gets at the API's database connection could rewrite history or make a key."""
    for statement in (
        "UPDATE audit_entry SET action = 'x'",
        "DELETE FROM audit_entry",
        "INSERT INTO api_key (id) VALUES ('x')",
        "UPDATE tenant SET max_queued = NULL",
        "UPDATE alembic_version SET version_num = 'x'",
        "CREATE TABLE mine (id int)",
        "ALTER TABLE job DISABLE ROW LEVEL SECURITY",
        "SET ROLE regraft_system",
    ):
        with (
            app.of(acme.tenant_id).write() as session,
            pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        ):
            session.connection().exec_driver_sql(statement)


def test_shared_blobs_are_read_by_all_and_written_by_none(
    app: Database, database: Database, acme: Merchant
) -> None:
    """Ten thousand merchants share one backbone, and none of them may change it."""
    shared = {"scope": "shared", "sha256": "0" * 64, "size": 1, "created_at": 0.0}
    with database.write() as session:
        session.add(Blob(**shared))
    mine = app.of(acme.tenant_id)
    with mine.read() as session:
        assert session.scalars(select(Blob.scope)).all() == ["shared"]
    table = Base.metadata.tables["blob"]
    assert _execute(mine, table.delete()) == 0
    with pytest.raises(DBAPIError, match="row-level security"):
        _execute(mine, table.insert().values({**shared, "sha256": "1" * 64}))


def test_the_queue_counts_everybody_and_shows_nobody(
    app: Database, database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """A merchant would be told that its job starts now, behind a thousand of another's."""
    for merchant in (acme, zenith):
        dataset = ready_dataset(database, merchant.tenant_id)
        submit(database, merchant.tenant_id, dataset)
    mine = app.of(acme.tenant_id)
    with mine.read() as session:
        assert queueing.share(session, acme.tenant_id, "cpu").queued_in_all == 2
        assert session.scalar(select(func.count()).select_from(Job)) == 1
    with mine.write() as session:
        with whole_queue(session):
            assert session.scalar(select(func.count()).select_from(Job)) == 2
            assert session.scalar(select(func.count()).select_from(Dataset)) == 1
            theirs = Base.metadata.tables["job"].c["tenant_id"] == zenith.tenant_id
            gone = Base.metadata.tables["job"].delete().where(theirs)
            assert session.connection().execute(gone).rowcount == 0
        assert session.scalars(select(Tenant.id)).all() == [acme.tenant_id]
