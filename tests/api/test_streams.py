"""A job's events as they come: from where the client left off, each once, to the job's end."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from db.lifecycle import events
from regraft.contract.ids import new_id
from regraft.contract.status import EventLevel, EventType, JobStatus
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant, create
from tests.support.server import Server, running

FOLLOW = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two places for the streams of one merchant."""
    environment = {"REGRAFT_API_STREAMS": "4"}
    with running(tmp_path_factory.mktemp("server"), sqlite_template, environment) as found:
        yield found


def _tell(
    api: Api, merchant: Merchant, job_id: str, message: str, kind: EventType = "message"
) -> None:
    """Write an event, as a worker does."""
    level: EventLevel = "info"
    data: dict[str, object] = {"to": JobStatus.SUCCEEDED} if kind == "status" else {}
    with api.database.write() as session:
        events.record(
            session,
            tenant_id=merchant.tenant_id,
            job_id=job_id,
            fence=1,
            level=level,
            type=kind,
            message=message,
            data=data,
        )


def _job(api: Api, merchant: Merchant) -> str:
    found: str = api.submit(merchant, api.ready_dataset(merchant)).get_json()["id"]
    return found


def _frames(text: str) -> list[dict[str, Any]]:
    """Return the events of a stream, each checked to be a whole frame."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in lines:
            event = json.loads(lines["data"])
            assert (lines["id"], lines["event"]) == (event["id"], event["type"])
            found.append(event)
    return found


def _said(frames: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in frames]


def test_a_finished_job_is_told_to_its_end(api: Api, acme: Merchant) -> None:
    """A program that follows a job would wait for ever, or miss how it ended."""
    job_id = _job(api, acme)
    for number in range(5):
        _tell(api, acme, job_id, f"{number}")
    _tell(api, acme, job_id, "done", "status")
    with api.get(f"/v1/jobs/{job_id}/events", acme, headers=FOLLOW) as response:
        assert response.content_type == "text/event-stream"
        frames = _frames(response.get_data(as_text=True))
    assert _said(frames) == ["Queued.", "0", "1", "2", "3", "4", "done"]
    listed = api.get(f"/v1/jobs/{job_id}/events?limit=100", acme).get_json()["data"]
    assert frames == listed


def test_behind_the_end_is_nothing_to_follow(api: Api, acme: Merchant) -> None:
    """A browser that comes back behind the end would hold a place for ever."""
    job_id = _job(api, acme)
    _tell(api, acme, job_id, "done", "status")
    path = f"/v1/jobs/{job_id}/events"
    last = api.get(path, acme).get_json()["data"][-1]["id"]
    answer = api.get(path, acme, headers={**FOLLOW, "Last-Event-ID": last})
    assert (answer.status_code, answer.data) == (204, b"")


def test_a_client_comes_back_where_it_left(api: Api, acme: Merchant) -> None:
    """Every lost connection would lose events, or bring them twice."""
    job_id = _job(api, acme)
    _tell(api, acme, job_id, "one")
    _tell(api, acme, job_id, "done", "status")
    path = f"/v1/jobs/{job_id}/events"
    ids = [event["id"] for event in api.get(path, acme).get_json()["data"]]
    for last, said in (
        (ids[0], ["one", "done"]),
        (ids[1], ["done"]),
        (new_id("evt"), ["Queued.", "one", "done"]),
        ("%00' or 1=1", ["Queued.", "one", "done"]),
    ):
        headers = {**FOLLOW, "Last-Event-ID": last}
        with api.get(path, acme, headers=headers) as response:
            assert _said(_frames(response.get_data(as_text=True))) == said


def test_another_merchants_job(api: Api, acme: Merchant, zenith: Merchant) -> None:
    """A competitor could watch a merchant work."""
    job_id = _job(api, acme)
    refused = api.get(f"/v1/jobs/{job_id}/events", zenith, headers=FOLLOW)
    assert (refused.status_code, error_of(refused)["code"]) == (404, "not_found")
    theirs = api.get(f"/v1/jobs/{job_id}/events", acme).get_json()["data"][0]["id"]
    mine = _job(api, zenith)
    _tell(api, zenith, mine, "done", "status")
    headers = {**FOLLOW, "Last-Event-ID": theirs}
    with api.get(f"/v1/jobs/{mine}/events", zenith, headers=headers) as response:
        assert _said(_frames(response.get_data(as_text=True))) == ["Queued.", "done"]


@contextmanager
def _opened(server: Server, merchant: Merchant, job_id: str) -> Iterator[http.client.HTTPResponse]:
    connection = server.connect()
    headers = {**merchant.headers, **FOLLOW}
    connection.request("GET", f"/v1/jobs/{job_id}/events", headers=headers)
    with connection.getresponse() as response:
        yield response
    connection.close()


def _until(response: http.client.HTTPResponse, message: str) -> list[str]:
    said: list[str] = []
    while message not in said:
        line = response.readline().decode()
        assert line, "the stream ended early"
        if line.startswith("data: "):
            said.append(json.loads(line.removeprefix("data: "))["message"])
    return said


def test_events_come_as_they_happen(server: Server) -> None:
    """A merchant would watch a clock instead of a job."""
    first, second = server.merchant, create(server.api.database, "Zenith")
    jobs = {merchant: _job(server.api, merchant) for merchant in (first, second)}
    with ExitStack() as stack:
        streams = {
            merchant: stack.enter_context(_opened(server, merchant, jobs[merchant]))
            for merchant in jobs
        }
        for merchant, response in streams.items():
            assert _until(response, "Queued.") == ["Queued."]
            started = time.monotonic()
            _tell(server.api, merchant, jobs[merchant], f"for {merchant.name}")
            assert _until(response, f"for {merchant.name}") == [f"for {merchant.name}"]
            assert time.monotonic() - started < 3
        for merchant, response in streams.items():
            _tell(server.api, merchant, jobs[merchant], "done", "status")
            assert _until(response, "done") == ["done"]
            assert response.read().strip() == b""


def test_places_for_streams(server: Server) -> None:
    """One merchant's open tabs would leave no stream for others."""
    job_id = _job(server.api, server.merchant)
    with ExitStack() as stack:
        opened = (_opened(server, server.merchant, job_id) for _ in range(3))
        streams = [stack.enter_context(one) for one in opened]
        assert [one.status for one in streams] == [200, 200, 503]
        assert streams[2].headers["Retry-After"]
        _tell(server.api, server.merchant, job_id, "done", "status")
        for one in streams[:2]:
            assert b"done" in one.read()
        deadline = time.monotonic() + 10
        while True:
            with _opened(server, server.merchant, job_id) as again:
                if again.status == 200:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_server_that_stops_ends_its_streams(sqlite_template: Path, tmp_path: Path) -> None:
    """An update would wait for the last open tab, and then cut it off."""
    with ExitStack() as stack:
        with running(tmp_path, sqlite_template, {}) as server:
            job_id = _job(server.api, server.merchant)
            response = stack.enter_context(_opened(server, server.merchant, job_id))
            assert _until(response, "Queued.") == ["Queued."]
            started = time.monotonic()
        assert response.read().strip() == b""
        assert time.monotonic() - started < 10
