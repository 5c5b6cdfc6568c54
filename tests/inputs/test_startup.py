"""Unsafe settings: outside development no process starts with them, and says why in one line."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from core.safety import faults
from core.settings import Settings
from db.session import Database

ROOT = Path(__file__).parents[2]
API = ("gunicorn", "-c", "api/gunicorn_conf.py", "--check-config", "api.wsgi:app")
POSTGRES = "postgresql+psycopg://x@/x"
SERVE = ("gunicorn", "-c", "serve/gunicorn_conf.py", "--check-config", "serve.wsgi:app")
CONTROL = ("worker.control",)


def _start(home: Path, module: tuple[str, ...], **given: str) -> tuple[int, str]:
    """Start a process in production; return its exit code and what it said."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "REGRAFT_DATABASE_URL"},
        "REGRAFT_ENV": "production",
        "REGRAFT_HOME": str(home),
        "REGRAFT_API_ALLOWED_HOSTS": "regraft.example",
        **given,
    }
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a database that only its owner reads."""
    database = Database(f"sqlite:///{tmp_path / 'regraft.db'}")
    with database.write() as session:
        session.connection().exec_driver_sql("CREATE TABLE x (y)")
    database.dispose()
    return tmp_path


def test_the_database_is_its_owners_alone(home: Path) -> None:
    """Every user of the machine could copy all merchants' photos and models."""
    assert stat.S_IMODE((home / "regraft.db").stat().st_mode) == 0o600


def test_safe_settings_start(home: Path) -> None:
    """The checks below would pass because nothing ever starts."""
    assert _start(home, API)[0] == 0
    assert _start(home, SERVE, REGRAFT_SERVE_BIND="0.0.0.0:8090", REGRAFT_SERVE_SECRET="s")[0] == 0


@pytest.mark.parametrize(
    ("module", "given", "says"),
    [
        (API, {"REGRAFT_API_ALLOWED_HOSTS": ""}, "REGRAFT_API_ALLOWED_HOSTS is empty"),
        (API, {"FLASK_DEBUG": "1"}, "FLASK_DEBUG is set"),
        (API, {"REGRAFT_DATABASE_URL": POSTGRES}, "REGRAFT_DATABASE_APP_URL is empty"),
        (CONTROL, {"REGRAFT_WEBHOOK_ALLOW_PRIVATE": "1"}, "REGRAFT_WEBHOOK_ALLOW_PRIVATE is set"),
        (CONTROL, {"FLASK_DEBUG": "true"}, "FLASK_DEBUG is set"),
        (SERVE, {"REGRAFT_SERVE_BIND": "0.0.0.0:8090"}, "REGRAFT_SERVE_SECRET is empty"),
    ],
)
def test_unsafe_settings(
    home: Path, module: tuple[str, ...], given: dict[str, str], says: str
) -> None:
    """A debugger, or a service under any name, would be open to the world."""
    code, said = _start(home, module, **given)
    assert (code, said.count("\n"), says in said) == (1, 1, True), said
    assert said.startswith("Regraft does not start: ")


@pytest.mark.parametrize("name", ["regraft.db", "account.json"])
def test_files_that_everybody_reads(home: Path, name: str) -> None:
    """Keys or photos would leak to whoever has a shell on the machine."""
    (home / name).touch()
    (home / name).chmod(0o644)
    given = Settings(home=home, env="production", database_url="")
    (fault,) = faults(given, {})
    assert str(home / name) in fault
    code, said = _start(home, API)
    assert (code, said.count("\n"), fault in said) == (1, 1, True), said
    assert _start(home, API, REGRAFT_ENV="development")[0] == 0
