"""What every test may ask for: real databases, a real Redis, settings, two merchants.

Each test gets a database of its own, copied from one that the real migrations built.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.settings import Settings
from db.migrate import migrate, upgrade
from db.session import Database
from deploy.redis import EmbeddedRedis
from tests.support.bare import bare_environment
from tests.support.merchants import Merchant, create
from tests.support.postgres import OWNER, Postgres, as_role, settings_for
from tests.support.timings import SCALED

_TEMPLATE = "regraft_template"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests of faults, but for campaigns: each time another moment is hit."""
    repeats = int(os.environ.get("FAULT_REPEATS", "1"))
    marks = metafunc.definition.get_closest_marker
    if repeats > 1 and marks("fault") and not marks("campaign"):
        metafunc.fixturenames.append("repeat")
        metafunc.parametrize("repeat", range(repeats))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL with a migrated template database."""
    with Postgres() as server:
        migrate(settings_for(server.create_database(_TEMPLATE), Settings()))
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, copied for each test."""
    path = tmp_path_factory.mktemp("template") / "regraft.db"
    upgrade(f"sqlite:///{path}")
    return path


@contextmanager
def fresh_url(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield the URL of an empty migrated database of this kind, removed afterwards."""
    if kind == "sqlite":
        path = request.getfixturevalue("tmp_path") / "regraft.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = f"t{abs(hash(request.node.nodeid)):x}"
    yield server.create_database(name, _TEMPLATE)
    server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database; the test runs once on each kind."""
    with fresh_url(request.param, request) as url:
        yield url


@pytest.fixture
def owner_url(database_url: str) -> str:
    """The URL of the same database for the role that owns its tables."""
    return as_role(database_url, OWNER)


@pytest.fixture
def owner(owner_url: str) -> Iterator[Database]:
    """The same database for the role that owns its tables."""
    opened = Database(owner_url)
    yield opened
    opened.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database; the test runs once on each kind."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings for the services under test, with scaled timings and a home of their own."""
    return settings_for(database_url, Settings(home=tmp_path / "home", timings=SCALED))


@pytest.fixture
def acme(database: Database) -> Merchant:
    """The merchant whose work it is."""
    return create(database, "Acme Home Goods")


@pytest.fixture
def zenith(database: Database) -> Merchant:
    """The other merchant, who must never notice."""
    return create(database, "Zenith Electronics")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A real Redis from the package that carries it."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The URL of an empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with onnxruntime, numpy and Pillow, and nothing of ours."""
    return bare_environment(tmp_path_factory.mktemp("bare"))
