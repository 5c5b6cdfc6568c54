"""The administrator's commands, as typed into a shell on the server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from db.admin import main
from db.models import Tenant
from db.repositories import keys
from db.session import Database

ROOT = Path(__file__).parents[2]


class Shell:
    """The commands against one database, with what they print."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = url
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run one command; return its exit code and what it printed on either stream."""
        code = main(arguments, self._url)
        return code, *self._capsys.readouterr()

    def json(self, *arguments: str) -> dict[str, str]:
        """Run one command and return the object that it prints."""
        code, output, errors = self.run(*arguments, "--json")
        assert code == 0, errors
        found: dict[str, str] = json.loads(output)
        return found


@pytest.fixture
def shell(database_url: str, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A shell on a server whose database is empty."""
    return Shell(database_url, capsys)


def test_from_nothing_to_a_working_key(shell: Shell, database: Database) -> None:
    """Nobody could be let in after an installation."""
    merchant = shell.json("create-merchant", "Ac\u00e9 Ltd")
    first = keys.authenticate(database, merchant["key"])
    assert first is not None
    assert (first.tenant_id, first.scopes) == (merchant["merchant"], ("read", "write"))
    second = shell.json("create-key", "Ac\u00e9 Ltd", "--scopes", "read", "--days", "1")
    caller = keys.authenticate(database, second["key"])
    assert caller is not None
    assert (caller.tenant_id, caller.scopes) == (merchant["merchant"], ("read",))
    revoked = shell.json("revoke-key", merchant["merchant"], second["id"])
    assert revoked["id"] == second["id"]
    assert keys.authenticate(database, second["key"]) is None


def test_mistakes_are_said_in_a_sentence(shell: Shell) -> None:
    """An administrator would read a stack trace for a misspelt name."""
    assert shell.run("create-key", "nobody") == (1, "", "There is no such merchant.\n")
    shell.json("create-merchant", "Acme")
    code, output, errors = shell.run("create-key", "Acme", "--scopes", "root")
    assert (code, output) == (1, "")
    assert "read, write, admin" in errors
    assert "key: rg_" in shell.run("create-merchant", "Plain")[1]


def test_quotas(shell: Shell) -> None:
    """A merchant who uses too much could only be shut out altogether."""
    shell.json("create-merchant", "Acme")
    untouched = dict.fromkeys(("stored_bytes", "jobs_queued", "jobs_running", "device_minutes"))
    found: dict[str, object] = dict(shell.json("set-quota", "Acme"))
    assert untouched.items() <= found.items()
    found = dict(shell.json("set-quota", "Acme", "--stored-bytes", "1000", "--jobs-queued", "0"))
    assert {**untouched, "stored_bytes": 1000, "jobs_queued": 0}.items() <= found.items()
    found = dict(shell.json("set-quota", "Acme", "--stored-bytes", "none"))
    assert {**untouched, "jobs_queued": 0}.items() <= found.items()
    code, _, errors = shell.run("set-quota", "Acme", "--device-minutes", "-5")
    assert (code, errors) == (1, "must be a number from 0 to 2147483647, or `none`\n")


def test_weights(shell: Shell, database: Database) -> None:
    """A merchant who pays for more could be given it by nobody."""
    merchant = shell.json("create-merchant", "Acme")["merchant"]
    assert dict(shell.json("set-weight", "Acme", "3")) == {"merchant": merchant, "weight": 3}
    for impossible in ("0", "-1", "1001"):
        code, output, errors = shell.run("set-weight", "Acme", "--", impossible)
        assert (code, output) == (1, "")
        assert "from 1 to 1000" in errors
    assert shell.run("set-weight", "nobody", "2") == (1, "", "There is no such merchant.\n")
    with database.read() as session:
        assert session.scalars(select(Tenant.weight)).all() == [3]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///{home}/new.db", "python -m db.migrate"),
        ("sqlite:///{home}/nowhere/new.db", "cannot be used"),
        ("postgresql+psycopg://x@/x?host={home}", "cannot be used"),
        ("no url at all", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_said_in_a_line(
    url: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An administrator would read a stack trace on the first day."""
    code, output, errors = Shell(url.format(home=tmp_path), capsys).run("create-merchant", "Acme")
    assert (code, output, errors.count("\n")) == (1, "", 1)
    assert words in errors


def test_the_module_is_a_command(sqlite_template: Path, tmp_path: Path) -> None:
    """The launcher, which starts it as a process, could not make its first merchant."""
    path = shutil.copy(sqlite_template, tmp_path / "regraft.db")
    done = subprocess.run(
        [sys.executable, "-m", "db.admin", "create-merchant", "Acme", "--json"],
        cwd=ROOT,
        env={**os.environ, "REGRAFT_DATABASE_URL": f"sqlite:///{path}"},
        check=True,
        capture_output=True,
    )
    assert set(json.loads(done.stdout)) == {"merchant", "name", "id", "key", "scopes"}
