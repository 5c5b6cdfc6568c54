"""The audit of dependencies: what is found fails, and what cannot be asked is said."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

from deploy import audit
from tests.regraft.standin import Quiet

VULNERABILITY = {
    "id": "PYSEC-2026-1",
    "summary": "a hole",
    "affected": [
        {
            "package": {"name": "mended", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.1"}]}],
        }
    ],
}


@pytest.fixture
def source() -> Iterator[str]:
    """The address of a source that knows one vulnerability, of the package `mended`."""
    app = Flask("source")

    @app.post("/v1/query")
    def query() -> Response:
        asked = request.get_json(force=True)["package"]["name"]
        return jsonify({"vulns": [VULNERABILITY]} if asked == "mended" else {})

    server = make_server("127.0.0.1", 0, app, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/query"
    server.shutdown()
    thread.join()
    server.server_close()


def _audited(tmp_path: Path, source: str, *pins: str) -> int:
    """Audit a list of packages in place of this environment, for speed."""
    pinned = tmp_path / "pinned.txt"
    pinned.write_text("\n".join(pins))
    alone = ("--requirement", str(pinned), "--no-deps", "--disable-pip")
    return audit.main([*alone, "--vulnerability-service", "osv", "--osv-url", source])


@pytest.mark.slow
def test_a_known_vulnerability_fails(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hole that everybody knows of would be shipped."""
    assert _audited(tmp_path, source, "mended==2.0", "sound==1.0") == 1
    said = capsys.readouterr().out
    assert "1 known vulnerabilities" in said
    assert "mended 2.0: PYSEC-2026-1, mended in 2.1" in said


@pytest.mark.slow
def test_none_is_said_to_be_none(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody could tell an audit that found nothing from one that did not happen."""
    assert _audited(tmp_path, source, "sound==1.0", "other==3.2") == 0
    assert capsys.readouterr().out == "audit: no known vulnerability in 2 packages\n"


@pytest.mark.slow
def test_without_a_source_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could build without the network, or the audit would pass for one that was done."""
    assert _audited(tmp_path, "http://127.0.0.1:9/v1/query", "sound==1.0") == 0
    assert "not done, for no source of vulnerabilities is reachable" in capsys.readouterr().out


@pytest.mark.slow
def test_a_wrong_call_is_no_missing_source(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped option would turn the audit off for ever."""
    assert audit.main(["--no-such-option"]) == 2
    assert "pip-audit failed" in capsys.readouterr().out


def test_a_mirror_that_knows_nothing_is_no_source() -> None:
    """A mirror of packages answers 404 for each, which is not the same as none is vulnerable."""
    packages = '[{"name": "a", "skip_reason": "not found"}, {"name": "b", "skip_reason": "no"}]'
    code, text = audit.judge(f'{{"dependencies": {packages}}}', "")
    assert (code, "knows none of 2 packages" in text) == (0, True)


def test_what_was_left_out_is_named() -> None:
    """Three packages of a hundred would be taken for all."""
    packages = '[{"name": "a", "skip_reason": "not found"}, {"name": "b", "vulns": []}]'
    code, text = audit.judge(f'{{"dependencies": {packages}}}', "")
    assert (code, text) == (0, "no known vulnerability in 1 packages; not to be found there: a")
