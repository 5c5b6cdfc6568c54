"""The administrator's commands, as typed into a shell on the server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from db.repositories import keys
from db.session import Database

ROOT = Path(__file__).parents[2]


class Shell:
    """`python -m db.admin` against one database."""

    def __init__(self, url: str) -> None:
        self._environment = {**os.environ, "REGRAFT_DATABASE_URL": url}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "db.admin", *arguments],
            cwd=ROOT,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )

    def json(self, *arguments: str) -> dict[str, str]:
        """Run one command and return the object that it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found


@pytest.fixture
def shell(database_url: str) -> Shell:
    """A shell on a server whose database is empty."""
    return Shell(database_url)


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
    missing = shell.run("create-key", "nobody")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == "There is no such merchant.\n"
    shell.json("create-merchant", "Acme")
    wrong = shell.run("create-key", "Acme", "--scopes", "root")
    assert wrong.returncode == 1
    assert "read, write, admin" in wrong.stderr
    text = shell.run("create-merchant", "Plain").stdout
    assert "key: rg_" in text
