"""A merchant beyond a limit: a clear refusal, when to come back, and nobody else notices."""

import io
import threading

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from core.settings import Settings
from db.models import Job
from db.repositories import keys, quotas
from db.session import Database
from tests.support.api import Api, error_of, zipped
from tests.support.merchants import Merchant


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch, settings: Settings, database: Database) -> Api:
    """The application with a rate of twenty requests, and as many again in an hour."""
    monkeypatch.setenv("REGRAFT_API_RATE_REQUESTS", "20")
    monkeypatch.setenv("REGRAFT_API_RATE_SECONDS", "3600")
    return Api(settings, database)


def _allow(database: Database, merchant: Merchant, **limits: int | None) -> None:
    with database.write() as session:
        quotas.set_limits(keys.find_merchant(session, merchant.tenant_id), dict(limits))


def test_a_flood_is_refused(limited: Api, acme: Merchant, zenith: Merchant) -> None:
    """One merchant's loop would slow everybody down."""
    answers = [limited.get("/v1/jobs", acme) for _ in range(25)]
    assert [one.status_code for one in answers] == [200] * 20 + [429] * 5
    assert [one.headers["RateLimit-Remaining"] for one in answers[:3]] == ["19", "18", "17"]
    error = error_of(answers[-1])
    assert (error["code"], error["type"]) == ("rate_limited", "invalid_request")
    assert "Retry-After" in error["remedy"]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 180
    assert limited.get("/v1/jobs", zenith).status_code == 200


def test_a_flood_from_many_threads(limited: Api, acme: Merchant) -> None:
    """Requests at the same moment would slip past the count, or break it."""
    statuses: list[int] = []

    def send() -> None:
        client = limited.app.test_client()
        statuses.extend(
            client.get("/v1/whoami", headers=acme.headers).status_code for _ in range(10)
        )

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * 20 + [429] * 60


def test_every_answer_says_where_the_key_stands(limited: Api, acme: Merchant) -> None:
    """A client could only learn its rate by running into it."""
    for path, merchant in (("/v1/jobs", acme), ("/v1/nothing", acme), ("/v1/jobs", None)):
        response = limited.get(path, merchant)
        assert response.headers["RateLimit-Limit"] == "20"
        assert int(response.headers["RateLimit-Remaining"]) < 20
        assert int(response.headers["RateLimit-Reset"]) > 0


def test_probes_are_never_refused(limited: Api) -> None:
    """A cluster would end a healthy process because somebody else floods it."""
    assert {limited.get("/healthz", None).status_code for _ in range(30)} == {200}
    assert limited.get("/readyz", None).status_code == 200


def test_a_stranger_cannot_use_up_a_merchants_rate(limited: Api, acme: Merchant) -> None:
    """Whoever has seen the public part of a key could lock its merchant out."""
    guessed = {"Authorization": f"Bearer {acme.key[:12]}{'A' * 43}"}
    for _ in range(30):
        limited.get("/v1/jobs", None, headers=guessed)
    assert limited.get("/v1/jobs", acme).status_code == 200


def test_waiting_jobs(api: Api, database: Database, acme: Merchant, zenith: Merchant) -> None:
    """One merchant's script would queue a million jobs."""
    mine, theirs = api.ready_dataset(acme), api.ready_dataset(zenith)
    _allow(database, acme, jobs_queued=2)
    first = {"headers": {"Idempotency-Key": "a"}, "json": {"dataset": mine}}
    assert api.post("/v1/jobs", acme, **first).status_code == 202
    assert api.submit(acme, mine).status_code == 202
    before = api.row_counts()
    refused = api.submit(acme, mine)
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (429, "quota_exceeded")
    assert error["details"][0]["param"] == "jobs_queued"
    assert "2 jobs waiting" in error["message"]
    assert int(refused.headers["Retry-After"]) == 60
    assert error["remedy"]
    assert api.row_counts() == before
    assert api.post("/v1/jobs", acme, **first).status_code == 202
    assert api.submit(zenith, theirs).status_code == 202
    with database.write() as session:
        session.execute(update(Job).where(Job.tenant_id == acme.tenant_id).values(status="paused"))
    assert api.submit(acme, mine).status_code == 202


def test_fifty_submits_at_once(api: Api, database: Database, acme: Merchant) -> None:
    """Submits at the same moment would each see room for one more."""
    dataset = api.ready_dataset(acme)
    _allow(database, acme, jobs_queued=5)
    statuses: list[int] = []

    def send() -> None:
        client = api.app.test_client()
        for _ in range(3):
            response = client.post("/v1/jobs", headers=acme.headers, json={"dataset": dataset})
            statuses.append(response.status_code)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202] * 5 + [429] * 19


def test_stored_bytes(api: Api, database: Database, acme: Merchant, zenith: Merchant) -> None:
    """One merchant would fill the disk of everybody."""
    assert api.upload(acme).status_code == 202
    used = api.get("/v1/usage", acme).get_json()["stored_bytes"]
    assert used > 0
    _allow(database, acme, stored_bytes=used + 10)
    before = api.row_counts()
    refused = api.upload(acme, b"PK" + bytes(5000))
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (429, "quota_exceeded")
    assert str(used) in error["message"]
    assert refused.headers["Retry-After"]
    assert api.row_counts() == before
    assert api.stray_files() == []
    assert api.upload(zenith).status_code == 202
    _allow(database, acme, stored_bytes=None)
    assert api.upload(acme).status_code == 202


def test_stored_bytes_of_a_version(
    api: Api, database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """A merchant at the limit would get on by calling the new photos a version."""
    mine, theirs = api.ready_dataset(acme), api.ready_dataset(zenith)
    used = api.get("/v1/usage", acme).get_json()["stored_bytes"]
    _allow(database, acme, stored_bytes=used + 10)
    before = api.row_counts()
    refused = _version(api, acme, mine)
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (429, "quota_exceeded")
    assert str(used) in error["message"]
    assert api.row_counts() == before
    assert api.stray_files() == []
    assert _version(api, zenith, theirs).status_code == 202
    _allow(database, acme, stored_bytes=None)
    assert _version(api, acme, mine).status_code == 202


def _version(api: Api, merchant: Merchant, parent: str) -> TestResponse:
    more = zipped({"cup/1.jpg": b"c" * 500})
    return api.post(
        f"/v1/datasets/{parent}/versions",
        merchant,
        data={"file": (io.BytesIO(more), "more.zip")},
        content_type="multipart/form-data",
    )


def test_device_minutes(api: Api, database: Database, acme: Merchant, zenith: Merchant) -> None:
    """One merchant would train all month on devices that others pay for."""
    mine, theirs = api.ready_dataset(acme), api.ready_dataset(zenith)
    _allow(database, acme, device_minutes=1)
    job_id = api.submit(acme, mine).get_json()["id"]
    with database.write() as session:
        values = {"status": "running", "claimed_at": Job.created_at - 61.0}
        session.execute(update(Job).where(Job.id == job_id).values(values))
    refused = api.submit(acme, mine)
    error = error_of(refused)
    assert (refused.status_code, error["code"]) == (429, "quota_exceeded")
    assert "of the 1 device-minutes of this month" in error["message"]
    assert 0 < int(refused.headers["Retry-After"]) <= 31 * 86_400
    assert api.submit(zenith, theirs).status_code == 202
    usage = api.get("/v1/usage", acme).get_json()
    found = {one["name"]: (one["used"], one["limit"]) for one in usage["quotas"]}
    assert found["device_minutes"][0] > 1
    assert found["jobs_running"] == (1, None)
    assert found["jobs_queued"] == (0, None)
