"""Webhooks from the client and the command line, against the real API, and a receiver's check."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from regraft.cli.app import app
from regraft.client import (
    Client,
    ConflictError,
    InvalidInput,
    NotFoundError,
    SignatureInvalid,
    ValidationFailed,
    verify_webhook,
)
from regraft.contract.signatures import sign
from tests.support.server import running

URL = "https://hooks.example.com/regraft"
_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_BODY = b'{"type":"job.succeeded","timestamp":"2026-11-24T06:25:00.123Z","data":{"id":"job_1"}}'


def _headers(secret: str = _SECRET, moment: int | None = None) -> dict[str, str]:
    moment = int(time.time()) if moment is None else moment
    signature = sign(secret, "evt_1", moment, _BODY)
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(moment),
        "Webhook-Signature": f"v1,AAAA {signature}",
    }


def test_a_receiver_believes_the_service() -> None:
    """A shop could not tell what came from the service, or would need another library for it."""
    event = verify_webhook(_BODY, _headers(), _SECRET)
    assert (event.type, event.data.id) == ("job.succeeded", "job_1")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (_headers("whsec_AAAA"), _BODY),
        (_headers(), _BODY.replace(b"succeeded", b"cancelled")),
        (_headers(moment=1_500_000_000), _BODY),
        (_headers(moment=4_000_000_000), _BODY),
        ({**_headers(), "Webhook-Id": "evt_2"}, _BODY),
        ({**_headers(), "Webhook-Timestamp": "٣"}, _BODY),
        ({**_headers(), "Webhook-Timestamp": "9" * 5000}, _BODY),
        ({**_headers(), "Webhook-Signature": ""}, _BODY),
        ({}, _BODY),
    ],
)
def test_a_receiver_believes_nobody_else(headers: dict[str, str], body: bytes) -> None:
    """Whoever finds a shop's address could tell it that a model is there."""
    with pytest.raises(SignatureInvalid):
        verify_webhook(body, headers, _SECRET)


def test_a_mistyped_secret_is_said() -> None:
    """A receiver would refuse everything without knowing why."""
    with pytest.raises(InvalidInput, match="whsec_"):
        verify_webhook(_BODY, _headers(), "whsec_?")


def test_the_way_of_an_endpoint(ours: Client) -> None:
    """Client and service would each pass their own tests and not understand one another."""
    made = ours.webhooks.create(URL, events=["job.succeeded"], description="the shop")
    assert made.secret.startswith("whsec_")
    with pytest.raises(ConflictError):
        ours.webhooks.create(URL)
    with pytest.raises(ValidationFailed) as refused:
        ours.webhooks.create("https://127.0.0.1/")
    assert (refused.value.code, refused.value.param) == ("webhook_url_forbidden", "url")
    assert [one.id for one in ours.webhooks.list(page_size=1)] == [made.id]
    assert ours.webhooks.update(made.id, enabled=False).enabled is False
    assert ours.webhooks.update(made.id, enabled=True, events=["job.failed"]).events == [
        "job.failed"
    ]
    assert ours.webhooks.rotate(made.id, overlap_hours=1).secret != made.secret
    sent = ours.webhooks.test(made.id)
    assert ours.webhooks.redeliver(made.id, sent.id).event == sent.event
    (listed,) = ours.webhooks.deliveries(made.id, status="pending")
    assert listed.type == "webhook.test"
    assert ours.webhooks.delete(made.id).deleted
    with pytest.raises(NotFoundError):
        ours.webhooks.get(made.id)


@pytest.fixture
def run(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Run a command against the real server and return its JSON, or what it printed."""

    def ran(*arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in arguments else result.output

    with running(tmp_path, sqlite_template, {}) as server:
        monkeypatch.setenv("REGRAFT_URL", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("REGRAFT_API_KEY", server.merchant.key)
        yield ran


@pytest.mark.slow
def test_the_commands(run: Callable[..., Any]) -> None:
    """An operator of a shop would have to write JSON by hand."""
    said = run("webhooks", "create", URL, "--event", "job.failed", "--description", "shop")
    assert "whsec_" in said
    assert "keep the secret now" in said
    (listed,) = run("webhooks", "list", "--json")["data"]
    webhook = listed["id"]
    assert listed["events"] == ["job.failed"]
    assert "whsec_" not in run("webhooks", "show", webhook)
    assert run("webhooks", "update", webhook, "--disable", "--json")["enabled"] is False
    assert "disabled" in run("webhooks", "test", webhook, code=1)
    assert "yes" in run("webhooks", "update", webhook, "--enable")
    assert run("webhooks", "rotate", webhook, "--overlap-hours", "2", "--json")["secret"]
    sent = run("webhooks", "test", webhook, "--json")
    assert sent["status"] == "pending"
    assert "webhook.test" in run("webhooks", "deliveries", webhook)
    assert sent["event"] in run("webhooks", "redeliver", webhook, sent["id"])
    assert webhook in run("webhooks", "list")
    assert "is gone" in run("webhooks", "delete", webhook)
