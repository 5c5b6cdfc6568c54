"""Clients that send slowly, or never: each costs itself its request, and others nothing."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.blobs import CHUNK_BYTES
from tests.support.merchants import Merchant, create
from tests.support.server import Server, running

_ENVIRONMENT = {
    "REGRAFT_API_HEAD_SECONDS": "2",
    "REGRAFT_API_BODY_SECONDS": "2",
    "REGRAFT_API_IDLE_SECONDS": "2",
    "REGRAFT_API_STREAMS": "1",
    "REGRAFT_API_UPLOADS": "8",
    "REGRAFT_API_DOWNLOADS": "4",
}
_SOON = 1.0  # a quarter is usual; this machine may be busy with other tests


@pytest.fixture(scope="module")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with 21 threads, 8 of which no slow request may hold."""
    with running(tmp_path_factory.mktemp("server"), sqlite_template, _ENVIRONMENT) as found:
        yield found


@pytest.fixture(scope="module")
def zenith(server: Server) -> Merchant:
    """The other merchant, who must never notice."""
    return create(server.api.database, "Zenith")


@contextmanager
def _opened(server: Server, heads: list[bytes]) -> Iterator[list[socket.socket]]:
    """Connections that have each sent one of these, and send no more by themselves."""
    held = []
    try:
        for head in heads:
            one = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            held.append(one)
            one.sendall(head)
        yield held
    finally:
        for one in held:
            one.close()


def _head(path: str, key: str, length: int, kind: str = "multipart/form-data; boundary=x") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def _times(server: Server, merchant: Merchant, count: int = 40) -> list[float]:
    """Return how long ordinary requests take, each on a connection of its own, sorted."""
    found = []
    for _ in range(count):
        started = time.monotonic()
        connection = server.connect()
        connection.request("GET", "/v1/jobs", headers=merchant.headers)
        response = connection.getresponse()
        assert response.status == 200
        response.read()
        connection.close()
        found.append(time.monotonic() - started)
    return sorted(found)


def _answer(held: socket.socket) -> tuple[int, str, http.client.HTTPResponse]:
    response = http.client.HTTPResponse(held)
    response.begin()
    return response.status, json.loads(response.read())["error"]["code"], response


def test_a_hundred_slow_clients_delay_nobody(server: Server, zenith: Merchant) -> None:
    """One merchant's bad line, or a stranger with a script, would be everybody's outage."""
    started_upload = _head("/v1/datasets", server.merchant.key, 400_000_000) + b"--x\r\nContent-"
    started_head = b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Slow: "
    with _opened(server, [*[started_upload] * 50, *[started_head] * 50]) as held:
        assert _times(server, zenith)[-1] < _SOON
        assert _times(server, server.merchant)[-1] < _SOON
        answers = [_answer(one) for one in held]
    uploads, heads = answers[:50], answers[50:]
    assert {status for status, _, _ in uploads} == {503, 408}
    assert sum(status == 408 for status, _, _ in uploads) == 4
    assert all(r.headers["Retry-After"] for status, _, r in uploads if status == 503)
    assert {(status, code) for status, code, _ in heads} == {(408, "request_timeout")}
    assert server.api.stray_files() == []


def test_trickling_is_no_progress(server: Server, zenith: Merchant) -> None:
    """A byte now and then would keep a place for ever."""
    with _opened(server, [_head("/v1/datasets", server.merchant.key, 400_000_000)] * 4) as held:
        started = time.monotonic()
        while time.monotonic() - started < 1.5:
            for one in held:
                one.sendall(b"x")
            time.sleep(0.1)
        assert _times(server, zenith)[-1] < _SOON
        assert {_answer(one)[:2] for one in held} == {(408, "request_timeout")}
        assert time.monotonic() - started < 9


def test_bodies_of_refused_requests_hold_nothing(server: Server, zenith: Merchant) -> None:
    """A stranger without a key would take every thread with bodies that never come."""
    with _opened(server, [_head("/v1/datasets", "nobody's", 400_000_000)] * 50) as held:
        assert _times(server, zenith)[-1] < _SOON
        for one in held:
            status, code, response = _answer(one)
            assert (status, code) == (401, "unauthenticated")
            assert response.headers["Connection"] == "close"


def test_small_bodies_that_never_come(server: Server, zenith: Merchant) -> None:
    """Fifty jobs whose last byte is missing would take every thread."""
    head = _head("/v1/jobs", server.merchant.key, 1000, "application/json")
    with _opened(server, [head + b"{"] * 50) as held:
        assert _times(server, zenith)[-1] < _SOON
        assert {_answer(one)[:2] for one in held} == {(408, "request_timeout")}


def test_downloads_that_nobody_reads(server: Server, zenith: Merchant) -> None:
    """A client that opens downloads and sleeps would take every thread."""
    files = {"model.onnx": [b"x" * (4 * CHUNK_BYTES)]}
    path = f"/v1/models/{server.api.trained(server.merchant, files).model_id}/files/model.onnx"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.merchant.key}\r\n\r\n"
    with _opened(server, [head.encode()] * 6) as held:
        assert _times(server, zenith)[-1] < _SOON
        statuses = []
        for one in held:
            response = http.client.HTTPResponse(one)
            response.begin()
            statuses.append(response.status)
            if response.status == 200:
                time.sleep(0.1)
        assert sorted(statuses) == [200, 200, 503, 503, 503, 503]
        time.sleep(2.5)
        assert "stopped reading" in server.log
        with _opened(server, [head.encode()]) as again:
            response = http.client.HTTPResponse(again[0])
            response.begin()
            assert response.status == 200
            assert len(response.read()) == 4 * CHUNK_BYTES


def test_a_connection_that_says_nothing_is_closed(server: Server) -> None:
    """Idle connections would add up until nobody can connect."""
    with _opened(server, [b""]) as held:
        started = time.monotonic()
        assert held[0].recv(100) == b""
        assert 1 < time.monotonic() - started < 6
