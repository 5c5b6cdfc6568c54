"""Merchants and keys from the client and the command line, against the real API."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from db.session import Database
from regraft.cli.app import app
from regraft.client import ApiError, AuthenticationError, Client, ConflictError, NotFoundError
from regraft.contract.ids import new_id
from tests.support.merchants import Merchant, create

Run = Callable[..., Any]


@pytest.fixture
def operator(database: Database) -> Merchant:
    """The operator's own merchant, with a key that may do everything."""
    return create(database, "Operator", ("read", "write", "admin"))


@pytest.fixture
def admin(url: str, operator: Merchant) -> Iterator[Client]:
    """The operator's client."""
    with Client(url, operator.key) as client:
        yield client


@pytest.fixture
def run(url: str, operator: Merchant, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as the operator; return its JSON, or all that it printed."""

    def ran(*arguments: str, code: int = 0) -> Any:
        with capture_logs():  # the API is in this process, and prints where the command does
            result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if "--json" in arguments else result.output

    monkeypatch.setenv("REGRAFT_URL", url)
    monkeypatch.setenv("REGRAFT_API_KEY", operator.key)
    return ran


def test_the_way_of_a_merchant(admin: Client, operator: Merchant) -> None:
    """Client and service would each pass their own tests and not understand one another."""
    made = admin.merchants.create("Acme", limits={"jobs_queued": 5}, idempotency_key="once")
    again = admin.merchants.create("Acme", limits={"jobs_queued": 5}, idempotency_key="once")
    assert (again.id, made.weight, made.limits["jobs_queued"]) == (made.id, 1, 5)
    listed = [one.id for one in admin.merchants.list(page_size=1)]
    assert listed == [made.id, operator.tenant_id]
    heavier = admin.merchants.update(made.id, weight=3, limits={"stored_bytes": 10})
    assert (heavier.weight, heavier.limits["jobs_queued"], heavier.name) == (3, 5, "Acme")
    freed = admin.merchants.update(made.id, name="Acme Ltd", limits={"jobs_queued": None})
    assert (freed.name, freed.limits["jobs_queued"], freed.limits["stored_bytes"]) == (
        *("Acme Ltd", None),
        10,
    )
    assert admin.merchants.get(made.id) == freed
    left = {one.name: one.left for one in admin.merchants.usage(made.id).quotas}
    assert (left["stored_bytes"], left["jobs_queued"]) == (10, None)
    with pytest.raises(NotFoundError):
        admin.merchants.get(new_id("mer"))


def test_the_way_of_a_key(admin: Client, url: str, acme: Merchant) -> None:
    """A key that leaked could be replaced by nobody who only has the client."""
    made = admin.keys.create(acme.tenant_id, name="shop", scopes=["read"], days=2)
    assert (made.scopes, made.merchant, made.name) == (["read"], acme.tenant_id, "shop")
    assert made.expires_at is not None
    assert admin.keys.create(acme.tenant_id).scopes == ["read", "write"]
    mine = [one.id for one in admin.keys.list(merchant=acme.tenant_id, page_size=1)]
    every = [one.id for one in admin.keys.list()]
    assert made.id in mine
    assert set(mine) < set(every)
    new = admin.keys.rotate(made.id, overlap_hours=1)
    for text in (made.key, new.key):
        with Client(url, text) as shop:
            assert shop.whoami().merchant == acme.tenant_id
    assert admin.keys.revoke(new.id).deleted
    with Client(url, new.key) as shop, pytest.raises(AuthenticationError):
        shop.whoami()
    assert admin.keys.get(new.id).revoked_at
    with pytest.raises(ConflictError, match="no longer valid"):
        admin.keys.rotate(new.id)
    with pytest.raises(ConflictError, match="cannot revoke itself"):
        admin.keys.revoke(admin.whoami().key)


def test_a_merchant_administers_nothing(ours: Client, acme: Merchant, zenith: Merchant) -> None:
    """A merchant could read of its competitors, or make itself one of their keys."""
    attempts: tuple[Callable[[], Any], ...] = (
        lambda: ours.merchants.create("mine"),
        lambda: ours.merchants.get(zenith.tenant_id),
        lambda: ours.merchants.usage(zenith.tenant_id),
        lambda: ours.merchants.update(acme.tenant_id, weight=1000),
        lambda: list(ours.merchants.list()),
        lambda: ours.keys.create(zenith.tenant_id),
        lambda: list(ours.keys.list(merchant=zenith.tenant_id)),
    )
    for attempt in attempts:
        with pytest.raises(ApiError) as refused:
            attempt()
        assert (refused.value.status, refused.value.code) == (403, "insufficient_scope")


def test_the_commands_for_merchants(run: Run) -> None:
    """An operator would have to write JSON by hand, or log in to the server."""
    said = run("merchants", "create", "Acme", "--weight", "2", "--jobs-queued", "1500")
    (listed, _) = run("merchants", "list", "--json")["data"]
    assert f"regraft keys create {listed['id']}" in said
    assert "at most 1,500" in said
    assert (listed["name"], listed["weight"]) == ("Acme", 2)
    at = listed["id"]
    assert "1,500" in run("merchants", "list", "--limit", "1")
    assert "0 of 1,500 used" in run("merchants", "usage", at)
    changed = run("merchants", "update", at, "--jobs-queued", "none", "--name", "Acme Ltd")
    assert "Acme Ltd" in changed
    assert "1,500" not in run("merchants", "show", at)
    for wrong in ("many", "-1", "1" * 5000, "٣"):
        assert "--stored-bytes" in run("merchants", "update", at, "--stored-bytes", wrong, code=2)
    assert "limits.jobs_running" in run(
        "merchants", "update", at, "--jobs-running", "9" * 16, code=1
    )


def test_the_commands_for_keys(run: Run, acme: Merchant) -> None:
    """A merchant would be let in by whoever has a shell on the server, and by nobody else."""
    said = run("keys", "create", acme.tenant_id, "--scope", "read", "--days", "30", "--name", "cms")
    assert "keep the key's text now" in said
    key = run("keys", "list", "--merchant", acme.tenant_id, "--json")["data"][0]
    assert (key["name"], key["scopes"]) == ("cms", ["read"])
    assert f"rg_{key['prefix']}_" in said
    assert key["expires_at"] in said
    assert "never" in run("keys", "list", "--merchant", acme.tenant_id)
    assert "text" not in run("keys", "show", key["id"])
    new = run("keys", "rotate", key["id"], "--overlap-hours", "0", "--json")
    assert new["key"].startswith("rg_")
    assert new["id"] in run("keys", "revoke", new["id"])
    assert "what to do" in run("keys", "rotate", new["id"], code=1)
    assert "scopes.0" in run("keys", "create", acme.tenant_id, "--scope", "root", code=1)
