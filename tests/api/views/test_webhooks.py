"""Endpoints over HTTP: their secrets, their quota, what was sent, and sending it again."""

from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update

from core.settings import Settings
from db.models import Idempotency, Webhook, WebhookDelivery
from db.session import Database
from regraft.contract.ids import new_id
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant, create

URL = "https://hooks.example.com/regraft"


def _made(api: Api, merchant: Merchant, url: str = URL, **body: Any) -> dict[str, Any]:
    answer = api.post("/v1/webhooks", merchant, json={"url": url, **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def test_a_secret_is_shown_once_and_stored_nowhere(
    api: Api, acme: Merchant, database: Database
) -> None:
    """Whoever reads a list, a log or the database could sign as the service."""
    key = {"Idempotency-Key": "k"}
    made = api.post("/v1/webhooks", acme, json={"url": URL}, headers=key).get_json()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    shown = [api.get(path, acme) for path in ("/v1/webhooks", f"/v1/webhooks/{made['id']}")]
    assert shown[1].get_json() == made
    assert shown[0].get_json()["data"] == [made]
    trail = api.get("/v1/audit", acme)
    assert secret not in "".join(answer.text for answer in (*shown, trail))
    with database.read() as session:
        row = session.scalars(select(Webhook)).one()
        assert secret not in str(vars(row))
        assert session.scalars(select(Idempotency)).all() == []


def test_the_operators_key_makes_the_secret(
    api: Api, acme: Merchant, settings: Settings, database: Database
) -> None:
    """A copy of the database would be enough to sign as the service."""
    made = _made(api, acme)
    rotate = f"/v1/webhooks/{made['id']}/rotate"
    with database.write() as session:
        session.execute(update(Webhook).values(seed="5" * 64))
    keyed = settings.webhooks.model_copy(update={"key": SecretStr("a key of the operator's")})
    other = Api(settings.model_copy(update={"webhooks": keyed}), database)
    assert "a key" not in repr(keyed)
    first, second = (one.post(rotate, acme, json={}).get_json() for one in (api, other))
    assert first["secret"] != second["secret"]
    assert first["previous_secret_until"] > first["created_at"]


def test_a_rotation_without_overlap_ends_the_old_secret(
    api: Api, acme: Merchant, database: Database
) -> None:
    """A secret that leaked would go on to sign."""
    made = _made(api, acme)
    rotate = f"/v1/webhooks/{made['id']}/rotate"
    assert api.post(rotate, acme, json={"overlap_hours": 0}).get_json()["secret"] != made["secret"]
    with database.read() as session:
        assert session.scalars(select(Webhook.previous_seed)).one() is None
    assert error_of(api.post(rotate, acme, json={"overlap_hours": 169}))["param"] == "overlap_hours"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example.com/", "webhook_url_invalid"),
        ("https://user:pass@hooks.example.com/", "webhook_url_invalid"),
        ("https://hooks.example.com:22/", "webhook_url_invalid"),
        ("https://2130706433/", "webhook_url_forbidden"),
        ("https://[::ffff:127.0.0.1]/", "webhook_url_forbidden"),
        ("https://169.254.169.254/latest/meta-data", "webhook_url_forbidden"),
        ("https://localhost/", "webhook_url_forbidden"),
    ],
)
def test_addresses_that_are_refused(api: Api, acme: Merchant, url: str, code: str) -> None:
    """B42, B43: the service would be made to call itself; a change must not do it either."""
    made = _made(api, acme)
    before = api.row_counts()
    for answer in (
        api.post("/v1/webhooks", acme, json={"url": url}),
        api.send("PATCH", f"/v1/webhooks/{made['id']}", acme, json={"url": url}),
    ):
        assert answer.status_code == 422
        error = error_of(answer)
        assert (error["code"], error["param"]) == (code, "url")
        assert error["remedy"]
    assert api.row_counts() == before


def test_bodies_that_are_refused(api: Api, acme: Merchant) -> None:
    """A misspelt type would be an endpoint that is never told anything."""
    for body, param in (
        ({}, "url"),
        ({"url": 5}, "url"),
        ({"url": "https://a.example.com/" + "x" * 2048}, "url"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "events": ["job.done"]}, "events.0"),
        ({"url": URL, "events": ["job.failed", "job.failed"]}, "events"),
        ({"url": URL, "secret": "whsec_mine"}, "secret"),
    ):
        answer = api.post("/v1/webhooks", acme, json=body)
        assert (answer.status_code, error_of(answer)["param"]) == (422, param)


def test_change_disable_and_enable(api: Api, acme: Merchant) -> None:
    """A merchant could not stop calls to a server that it is repairing."""
    made = _made(api, acme)
    at = f"/v1/webhooks/{made['id']}"
    changed = api.send("PATCH", at, acme, json={"events": ["job.failed"], "description": "shop"})
    assert changed.get_json()["events"] == ["job.failed"]
    assert changed.get_json()["description"] == "shop"
    off = api.send("PATCH", at, acme, json={"enabled": False}).get_json()
    assert (off["enabled"], off["disabled_reason"]) == (False, "It was disabled by request.")
    assert api.post(f"{at}/test", acme).status_code == 409
    on = api.send("PATCH", at, acme, json={"enabled": True}).get_json()
    assert (on["enabled"], on["disabled_reason"]) == (True, None)
    trail = [entry["action"] for entry in api.get("/v1/audit", acme).get_json()["data"]]
    assert trail == ["webhook.changed"] * 3 + ["webhook.created"]


def test_the_test_button_and_sending_again(api: Api, acme: Merchant, database: Database) -> None:
    """A merchant could not try a receiver, nor catch up after an outage."""
    at = f"/v1/webhooks/{_made(api, acme)['id']}"
    first = api.post(f"{at}/test", acme)
    assert first.status_code == 202
    delivery = first.get_json()
    assert (delivery["type"], delivery["status"]) == ("webhook.test", "pending")
    assert api.post(f"{at}/test", acme).get_json() == delivery
    tried = [{"at": 1.5, "status_code": 500, "error": None, "seconds": 0.2}]
    with database.write() as session:
        failed = {"status": "failed", "attempts": tried, "attempt": 11, "retry": 10}
        session.execute(update(WebhookDelivery).values(failed))
    listed = api.get(f"{at}/deliveries?status=failed", acme).get_json()["data"]
    assert [one["attempts"][0]["status_code"] for one in listed] == [500]
    assert listed[0]["next_attempt_at"] is None
    assert api.get(f"{at}/deliveries?status=pending", acme).get_json()["data"] == []
    again = api.post(f"{at}/deliveries/{delivery['id']}/redeliver", acme)
    assert again.status_code == 202
    assert (again.get_json()["event"], again.get_json()["status"]) == (
        *(delivery["event"], "pending"),
    )
    with database.read() as session:
        assert session.scalars(select(WebhookDelivery.retry)).one() == 0


def test_only_what_an_endpoint_listens_to_is_queued(api: Api, acme: Merchant) -> None:
    """A receiver would be flooded with what it never asked for."""
    wanted = _made(api, acme, events=["job.cancelled"])
    other = _made(api, acme, "https://other.example.com/", events=["job.failed"])
    job_id = api.submit(acme, api.ready_dataset(acme)).get_json()["id"]
    api.post(f"/v1/jobs/{job_id}/cancel", acme)
    (found,) = api.get(f"/v1/webhooks/{wanted['id']}/deliveries", acme).get_json()["data"]
    assert (found["type"], found["subject"]) == ("job.cancelled", job_id)
    events = api.get(f"/v1/jobs/{job_id}/events", acme).get_json()["data"]
    assert found["event"] == events[-1]["id"]
    assert api.get(f"/v1/webhooks/{other['id']}/deliveries", acme).get_json()["data"] == []


def test_quota_and_repeated_addresses(api: Api, acme: Merchant, zenith: Merchant) -> None:
    """One merchant could make the service call a thousand servers at each end of a job."""
    for number in range(api.settings.webhooks.max_endpoints):
        _made(api, acme, f"https://hooks.example.com/{number}")
    full = api.post("/v1/webhooks", acme, json={"url": URL})
    assert (full.status_code, error_of(full)["code"]) == (429, "quota_exceeded")
    mine = _made(api, zenith)
    twice = api.post("/v1/webhooks", zenith, json={"url": URL})
    assert (twice.status_code, error_of(twice)["param"]) == (409, "url")
    assert api.send("DELETE", f"/v1/webhooks/{mine['id']}", zenith).get_json()["deleted"]
    _made(api, zenith)


def test_a_deleted_endpoint_leaves_nothing(api: Api, acme: Merchant) -> None:
    """Its secret, or where a merchant's server is, would stay behind."""
    at = f"/v1/webhooks/{_made(api, acme)['id']}"
    api.post(f"{at}/test", acme)
    api.send("DELETE", at, acme)
    counts = api.row_counts()
    assert (counts["webhook"], counts["webhook_delivery"]) == (0, 0)
    assert api.get(at, acme).status_code == 404
    assert api.post(f"{at}/deliveries/{new_id('whd')}/redeliver", acme).status_code == 404


def test_a_reader_changes_nothing(api: Api, acme: Merchant, database: Database) -> None:
    """B3: a key for dashboards could send a merchant's events elsewhere."""
    reader = create(database, "Reader", ("read",))
    assert api.get("/v1/webhooks", reader).status_code == 200
    assert api.post("/v1/webhooks", reader, json={"url": URL}).status_code == 403
    other = f"/v1/webhooks/{_made(api, acme)['id']}"
    for method in ("PATCH", "DELETE"):
        assert api.send(method, other, reader, json={}).status_code == 403
