"""The roles of PostgreSQL: made with the passwords of their URLs, or asked for in a sentence."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.settings import Settings
from db import roles
from db.migrate import migrate
from db.roles import RolesError, is_held
from db.session import Database
from tests.support.merchants import create
from tests.support.postgres import OWNER, SYSTEM, Postgres, as_role


@pytest.fixture
def given(postgres: Postgres) -> Iterator[Settings]:
    """Settings as in docker-compose.yml: a superuser owns an empty database, no role is there."""
    name = f"roles{secrets.token_hex(4)}"
    postgres.create_database(name)
    urls = {}
    for kind in ("url", "app_url"):
        url = make_url(postgres.url(name)).set(
            username=f'{name}_"{kind}', password=secrets.token_hex(8)
        )
        urls[f"database_{kind}"] = url.render_as_string(hide_password=False)
    yield Settings(database_owner_url=postgres.url(name)).model_copy(update=urls)
    postgres.drop_database(name)
    for kind in ("url", "app_url"):
        postgres.execute(f'DROP ROLE IF EXISTS "{name}_""{kind}"')


@contextmanager
def opened(url: str) -> Iterator[Database]:
    """Yield a database and close its connections."""
    database = Database(url)
    yield database
    database.dispose()


def test_a_migration_makes_roles_that_work(given: Settings) -> None:
    """Nothing could connect after an installation, or everything would bypass the policies."""
    for _again in range(2):
        migrate(given)
    with opened(given.url) as system, opened(given.app_url) as app:
        assert not is_held(system)
        assert is_held(app)
        merchants = [create(system, name) for name in ("Acme", "Zenith")]
        for merchant in merchants:
            with app.of(merchant.tenant_id).read() as session:
                seen = session.scalars(text("SELECT id FROM tenant")).all()
            assert seen == [merchant.tenant_id]


def test_an_owner_that_may_not_make_roles_says_what_to_run(
    given: Settings, postgres: Postgres
) -> None:
    """An operator with a managed database would read an error of PostgreSQL's."""
    owned = as_role(given.owner_url, OWNER)
    with pytest.raises(RolesError, match=r"run `CREATE ROLE .* LOGIN BYPASSRLS` as a superuser"):
        migrate(given.model_copy(update={"database_owner_url": owned}))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_role_of_the_wrong_kind_is_refused(database_url: str) -> None:
    """The services would see no row, or the API every merchant's, and both look like working."""
    blind = Settings(database_url=as_role(database_url, OWNER))
    with pytest.raises(RolesError, match=r"is held by row-level security.*ALTER ROLE.* BYPASSRLS"):
        roles.make(blind)
    wide = Settings(
        database_url=as_role(database_url, SYSTEM),
        database_app_url=as_role(database_url, "postgres"),
        database_owner_url=as_role(database_url, OWNER),
    )
    with pytest.raises(RolesError, match=r"bypasses row-level security.*REGRAFT_DATABASE_APP_URL"):
        roles.make(wide)


def test_sqlite_has_none(tmp_path: object) -> None:
    """The embedded database would not migrate."""
    sqlite = Settings(database_url=f"sqlite:///{tmp_path}/regraft.db")
    roles.make(sqlite)
    roles.grant(sqlite)
    with opened(sqlite.url) as database:
        assert is_held(database)
