"""Merchants and keys over HTTP: what an administrator can do, and that nobody else can."""

from typing import Any

import pytest
from sqlalchemy import func, select, update

from db.base import now
from db.models import ApiKey, Tenant
from db.session import Database
from regraft.contract.ids import new_id
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant, create

ALL = ("read", "write", "admin")


@pytest.fixture
def admin(database: Database) -> Merchant:
    """The operator's own merchant, with a key that may do everything."""
    return create(database, "Operator", ALL)


def _with(merchant: Merchant, key: str) -> Merchant:
    return merchant._replace(key=key)


def _key(api: Api, admin: Merchant, merchant: Merchant, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/keys", admin, json={"merchant": merchant.tenant_id, **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def _trail(api: Api, merchant: Merchant) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/v1/audit", merchant).get_json()["data"]
    return found


def test_from_a_name_to_a_working_key(api: Api, admin: Merchant) -> None:
    """A merchant could only be let in by somebody with a shell on the server."""
    body = {"name": "New Shop", "weight": 2, "limits": {"jobs_queued": 5}}
    again = {"Idempotency-Key": "once"}
    answers = [api.post("/v1/merchants", admin, json=body, headers=again) for _ in range(2)]
    made = answers[0].get_json()
    assert answers[1].get_json() == made
    assert made["limits"] == {
        **dict.fromkeys(("stored_bytes", "jobs_running", "device_minutes")),
        "jobs_queued": 5,
    }
    merchant = Merchant("New Shop", made["id"], "")
    key = _key(api, admin, merchant, name="the shop's server", days=1)
    assert (key["scopes"], key["merchant"]) == (["read", "write"], made["id"])
    assert key["expires_at"] > key["created_at"]
    me = api.get("/v1/whoami", _with(merchant, key["key"])).get_json()
    assert (me["merchant_name"], me["key"]) == ("New Shop", key["id"])
    assert {one["name"]: one["left"] for one in me["quotas"]}["jobs_queued"] == 5
    trail = _trail(api, _with(merchant, key["key"]))
    assert [entry["action"] for entry in trail] == ["key.created", "merchant.created"]
    assert {entry["actor"] for entry in trail} == {api.get("/v1/whoami", admin).get_json()["key"]}


def test_weight_and_limits_are_changed(api: Api, admin: Merchant, acme: Merchant) -> None:
    """A merchant who pays for more would have to wait for somebody with a shell."""
    at = f"/v1/merchants/{acme.tenant_id}"
    first = api.send("PATCH", at, admin, json={"limits": {"stored_bytes": 10, "jobs_running": 1}})
    assert first.get_json()["limits"]["stored_bytes"] == 10
    second = api.send("PATCH", at, admin, json={"weight": 3, "limits": {"jobs_running": None}})
    assert second.get_json() == api.get(at, admin).get_json()
    assert (second.get_json()["weight"], second.get_json()["name"]) == (3, acme.name)
    assert second.get_json()["limits"]["stored_bytes"] == 10
    assert second.get_json()["limits"]["jobs_running"] is None
    used = {one["name"]: one for one in api.get(f"{at}/usage", admin).get_json()["quotas"]}
    assert (used["stored_bytes"]["limit"], used["stored_bytes"]["left"]) == (10, 10)
    listed = api.get("/v1/merchants?limit=100", admin).get_json()["data"]
    assert {one["name"] for one in listed} == {"Operator", acme.name}
    for body, param in (
        ({"weight": 0}, "weight"),
        ({"weight": 1001}, "weight"),
        ({"limits": {"jobs_queued": -1}}, "limits.jobs_queued"),
        ({"limits": {"jobs_queued": 2**31}}, "limits.jobs_queued"),
        ({"limits": {"gpus": 1}}, "limits.gpus"),
        ({"name": ""}, "name"),
    ):
        assert error_of(api.send("PATCH", at, admin, json=body))["param"] == param
    most = {"stored_bytes": 2**53, "jobs_queued": 2**31 - 1}
    assert api.send("PATCH", at, admin, json={"limits": most}).status_code == 200


def test_a_key_is_shown_once_and_revoked(api: Api, admin: Merchant, acme: Merchant) -> None:
    """A key that leaked would work until somebody with a shell woke up."""
    made = _key(api, admin, acme, scopes=["read"])
    text = made.pop("key")
    answers = [
        api.get(f"/v1/keys/{made['id']}", admin),
        api.get(f"/v1/keys?merchant={acme.tenant_id}", admin),
        api.get("/v1/keys", admin),
    ]
    assert answers[0].get_json() == made
    assert made in answers[1].get_json()["data"]
    assert len(answers[2].get_json()["data"]) > len(answers[1].get_json()["data"])
    assert all(text.rsplit("_", 1)[1] not in answer.text for answer in answers)
    assert api.get("/v1/jobs", _with(acme, text)).status_code == 200
    assert api.send("DELETE", f"/v1/keys/{made['id']}", admin).get_json()["deleted"]
    assert api.get("/v1/jobs", _with(acme, text)).status_code == 401
    assert api.get(f"/v1/keys/{made['id']}", admin).get_json()["revoked_at"]
    own = api.get("/v1/whoami", admin).get_json()["key"]
    assert api.send("DELETE", f"/v1/keys/{own}", admin).status_code == 409


def test_a_rotation_overlaps(api: Api, admin: Merchant, acme: Merchant, database: Database) -> None:
    """A shop would be down between the old key and the new one."""
    old = _key(api, admin, acme, scopes=["read"], name="shop")
    at = f"/v1/keys/{old['id']}/rotate"
    new = api.post(at, admin, json={"overlap_hours": 1}).get_json()
    assert (new["scopes"], new["name"], new["expires_at"]) == (["read"], "shop", None)
    for text in (old["key"], new["key"]):
        assert api.get("/v1/jobs", _with(acme, text)).status_code == 200
    with database.write() as session:
        over = update(ApiKey).where(ApiKey.id == old["id"])
        session.execute(over.values(expires_at=ApiKey.expires_at - 3601))
    assert api.get("/v1/jobs", _with(acme, old["key"])).status_code == 401
    assert api.get("/v1/jobs", _with(acme, new["key"])).status_code == 200
    assert api.post(at, admin, json={}).status_code == 409
    assert "key.rotated" in {entry["action"] for entry in _trail(api, acme)}


def test_a_rotation_prolongs_nothing(
    api: Api, admin: Merchant, acme: Merchant, database: Database
) -> None:
    """A key for a week could be made one for ever, or end later because it was replaced."""
    old = _key(api, admin, acme, days=1)
    at = f"/v1/keys/{old['id']}/rotate"
    new = api.post(at, admin, json={"overlap_hours": 48}).get_json()
    shown = api.get(f"/v1/keys/{old['id']}", admin).get_json()
    assert shown["expires_at"] == old["expires_at"]
    with database.read() as session:
        query = select(ApiKey.expires_at - now()).where(ApiKey.id == new["id"])
        assert 0 < (session.scalar(query) or 0) <= 86_400


def test_no_key_makes_a_better_one(api: Api, admin: Merchant, database: Database) -> None:
    """An administrator's key for dashboards could give itself the right to train."""
    narrow = create(database, "Dashboard", ("admin", "read"))
    target = {"merchant": admin.tenant_id}
    mine = api.get("/v1/whoami", admin).get_json()["key"]
    for answer in (
        api.post("/v1/keys", narrow, json={**target, "scopes": ["read", "write"]}),
        api.post("/v1/keys", narrow, json=target),
        api.post(f"/v1/keys/{mine}/rotate", narrow, json={}),
    ):
        assert answer.status_code == 403
        error = error_of(answer)
        assert (error["code"], error["param"]) == ("insufficient_scope", "scopes")
        assert "write" in error["message"]
    assert api.post("/v1/keys", narrow, json={**target, "scopes": ["read"]}).status_code == 201
    for body, param in (
        ({**target, "scopes": ["root"]}, "scopes.0"),
        ({**target, "scopes": []}, "scopes"),
        ({**target, "scopes": ["read", "read"]}, "scopes"),
        ({**target, "days": 0}, "days"),
        ({"merchant": "acme"}, "merchant"),
        ({}, "merchant"),
    ):
        assert error_of(api.post("/v1/keys", admin, json=body))["param"] == param
    nobody = api.post("/v1/keys", admin, json={"merchant": new_id("mer")})
    assert (nobody.status_code, error_of(nobody)["param"]) == (404, "merchant")


def test_nobody_else_gets_in(api: Api, acme: Merchant, database: Database) -> None:
    """A merchant could raise its own quotas, or make itself a key for a competitor."""
    with database.read() as session:
        key_id = session.scalars(select(ApiKey.id).where(ApiKey.tenant_id == acme.tenant_id)).one()
    before = api.row_counts()
    walked = 0
    for rule in api.app.url_map.iter_rules():
        if not rule.rule.startswith(("/v1/merchants", "/v1/keys")):
            continue
        for merchant_id, key in ((acme.tenant_id, key_id), (new_id("mer"), new_id("key"))):
            path = rule.rule.replace("<merchant_id>", merchant_id).replace("<key_id>", key)
            for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
                answer = api.send(method, path, acme, json={})
                assert (answer.status_code, method, path) == (403, method, path)
                walked += 1
    assert walked >= 20
    assert api.row_counts() == before
    with database.read() as session:
        assert session.scalar(select(func.sum(Tenant.weight))) == 1


def test_unknown_ids(api: Api, admin: Merchant) -> None:
    """A mistyped id would end in a trace, or change somebody else."""
    for method, path in (
        ("GET", f"/v1/merchants/{new_id('mer')}"),
        ("GET", f"/v1/merchants/{new_id('mer')}/usage"),
        ("PATCH", f"/v1/merchants/{new_id('mer')}"),
        ("GET", f"/v1/keys/{new_id('key')}"),
        ("DELETE", f"/v1/keys/{new_id('key')}"),
        ("POST", f"/v1/keys/{new_id('key')}/rotate"),
        ("GET", "/v1/merchants/%00"),
        ("GET", "/v1/keys/1"),
    ):
        assert api.send(method, path, admin, json={}).status_code == 404
