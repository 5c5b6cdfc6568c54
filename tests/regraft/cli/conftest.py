"""The command line in this process, against the stand-in service."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from regraft.cli.app import app
from tests.regraft.standin import KEY, Standin


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """All of stdout as one JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The envelope's error."""
        body = self.json["error"]
        assert isinstance(body, dict)
        return body


Run = Callable[..., Ran]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command without any service configured."""

    def run(*arguments: object, stdin: str | None = None) -> Ran:
        result = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
        assert "Traceback" not in result.output
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def run(bare: Run, service: Standin, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command against the stand-in."""
    monkeypatch.setenv("REGRAFT_URL", service.url)
    monkeypatch.setenv("REGRAFT_API_KEY", KEY)
    return bare
