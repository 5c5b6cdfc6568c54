"""The API behind its real server: what only a socket can do to it."""

import hashlib
import http.client
import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.blobs import CHUNK_BYTES
from db.models import BlobChunk
from tests.support.api import Trained, zipped
from tests.support.server import Server, running

_ENVIRONMENT = {
    "REGRAFT_API_BODY_SECONDS": "3",
    "REGRAFT_API_IDLE_SECONDS": "1",
    "REGRAFT_API_MIN_RATE": "1000000",
    "REGRAFT_API_HEAD_SECONDS": "2",
    "REGRAFT_API_UPLOADS": "4",
    "REGRAFT_API_DOWNLOADS": "8",
    "REGRAFT_API_STREAMS": "2",
    "REGRAFT_UPLOAD_MAX_BYTES": "3000000",
}


def _error(answer: bytes) -> tuple[int, str]:
    """Return status and code of the one JSON answer in these bytes."""
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]["code"]


@pytest.fixture(scope="module")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Gunicorn with the settings that it has in production, but for shorter patience."""
    with running(tmp_path_factory.mktemp("server"), sqlite_template, _ENVIRONMENT) as found:
        yield found


@pytest.fixture
def trained(server: Server, request: pytest.FixtureRequest) -> Trained:
    """A model of several chunks, other ones for each test."""
    rng = random.Random(request.node.name)
    return server.api.trained(
        server.merchant, {"model.onnx": [rng.randbytes(CHUNK_BYTES + 5), rng.randbytes(9)]}
    )


HOSTILE = {
    "two lengths of a body": ("Content-Length: 2\nContent-Length: 3\n", {400}),
    "length and chunks": ("Content-Length: 2\nTransfer-Encoding: chunked\n", {400}),
    "unknown coding": ("Transfer-Encoding: xchunked\n", {400, 501}),
    "signed length": ("Content-Length: +2\n", {400}),
    "space before the colon": ("X-A : b\n", {400}),
    "large header": (f"X-A: {'a' * 100_000}\n", {431}),
    "many headers": ("".join(f"X-{n}: a\n" for n in range(200)), {431}),
}


def test_requests_that_smuggle(server: Server) -> None:
    """A second request hidden in the first would run with another merchant's key."""
    for name, (more, statuses) in HOSTILE.items():
        status, _ = _error(server.raw(server.post("/v1/jobs", more), b"{}GET /healthz HTTP/1.1"))
        assert status in statuses, name
    status, _ = _error(server.raw(f"GET /{'a' * 9000} HTTP/1.1\nHost: x\n\n"))
    assert status == 414
    status, _ = _error(server.raw("hello\n\n"))
    assert status == 400


def test_refusals_of_the_server_itself(server: Server) -> None:
    """A client would get a page of HTML where it expects the error that the contract promises."""
    for head, status in (
        ("hello\n\n", 400),
        (f"GET /{'a' * 9000} HTTP/1.1\nHost: x\n\n", 414),
        (server.post("/v1/jobs", f"X-A: {'a' * 9000}\n"), 431),
        (server.post("/v1/jobs", f"X-A: {'a' * 90_000}\n"), 431),
        (server.post("/v1/jobs", "Content-Length: 2\nTransfer-Encoding: chunked\n"), 400),
        (server.post("/v1/jobs", "Transfer-Encoding: xchunked\n"), 501),
    ):
        answer = server.raw(head, b"{}")
        assert _error(answer) == (status, "invalid_request")
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert set(error) == {
            *("type", "code", "message", "param", "remedy", "request_id", "details")
        }
        assert error["remedy"]
        assert f"X-Request-Id: {error['request_id']}\r\n".encode() in answer
        assert error["request_id"] in server.log


def test_keys_stay_out_of_the_log(server: Server) -> None:
    """Whoever reads the logs could act for every merchant who once sent a bad request."""
    key = server.merchant.key
    for line in (
        f"Authorization : Bearer {key}",
        f"Authorization: Bearer {key}\0",
        f"Authorization: Bearer {key}\n Bearer {key}",
        f"Bearer {key}",
        f"X\x7f: rg_short {key}",
    ):
        assert _error(server.raw(f"GET /v1/jobs HTTP/1.1\nHost: x\n{line}\n\n"))[0] == 400
    assert _error(server.raw(f"GET /{key} HTTP/1.1\nHost: x\nConnection: close\n\n"))[0] == 404
    assert _error(server.raw(f"{key} /v1/jobs HTTP/1.1\nHost: x\n\n"))[0] == 400
    assert "Invalid request from ip" in server.log
    assert key.rsplit("_", 1)[1] not in server.log


def test_bodies_that_end_early(server: Server) -> None:
    """Half a job would be read as a whole one."""
    before = server.api.row_counts()
    for more, body in (
        ("Content-Length: 100\n", b'{"dataset": "x"}'),
        ("Transfer-Encoding: chunked\n", b'10\r\n{"dataset": "x"'),
        ("Transfer-Encoding: chunked\n", b"zz\r\n{}"),
        ("Transfer-Encoding: chunked\n", b"2\r\n{}xx"),
    ):
        answer = server.raw(server.post("/v1/jobs", more), body, shut=True)
        assert _error(answer) == (400, "incomplete_body"), (more, body)
    assert server.api.row_counts() == before


def test_bodies_that_never_come(server: Server) -> None:
    """Clients that send a byte now and then would hold every thread."""
    for length, pieces, at_most in (
        (1000, [], 4.0),
        (1000, [b"{"] * 60, 4.0),
        (100_000, [], 3.0),
        (100_000, [b"{"] * 60, 5.0),
    ):
        head = server.post("/v1/jobs", f"Content-Length: {length}\n")
        started = time.monotonic()
        answer = server.raw(head, *pieces, pause=0.3)
        assert _error(answer) == (408, "request_timeout")
        assert time.monotonic() - started < at_most


def test_chunked_bodies(server: Server) -> None:
    """A body without a length would be cut at the limit and taken for whole."""
    connection = server.connect()
    headers = {**server.merchant.headers, "Content-Type": "application/json"}
    connection.request("POST", "/v1/jobs", iter([b"{", b"}"]), headers, encode_chunked=True)
    assert connection.getresponse().status == 422
    connection.close()
    connection = server.connect()
    pieces = iter([b'{"name": "', *([b"x" * 65536] * 20), b'"}'])
    connection.request("POST", "/v1/jobs", pieces, headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["error"]["code"] == "payload_too_large"
    connection.close()


def _form(data: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    file = head % (b"file", b'; filename="a.zip"') + data + b"\r\n"
    return head % (b"name", b"") + b"set\r\n" + file + b"--x--\r\n"


def test_uploads(server: Server) -> None:
    """An upload would work in tests and not behind the server."""
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    headers = {**server.merchant.headers, **kind}
    for chunked in (False, True):
        connection = server.connect()
        body = _form(zipped())
        sent = iter([body[:100], body[100:]]) if chunked else body
        connection.request("POST", "/v1/datasets", sent, headers, encode_chunked=chunked)
        response = connection.getresponse()
        assert response.status == 202
        assert json.loads(response.read())["sha256"] == hashlib.sha256(zipped()).hexdigest()
        connection.close()
    before = server.api.row_counts()
    connection = server.connect()
    connection.request("POST", "/v1/datasets", _form(os.urandom(3_500_000)), headers)
    assert connection.getresponse().status == 413
    connection.close()
    cut = server.post("/v1/datasets", "Content-Length: 9999\n").replace(
        "application/json", kind["Content-Type"]
    )
    answer = server.raw(cut, _form(zipped()), shut=True)
    assert _error(answer) == (400, "incomplete_body")
    assert server.api.row_counts() == before
    assert server.api.stray_files() == []


def test_a_connection_serves_again_after_a_refusal(server: Server) -> None:
    """A client would have to connect anew after each mistake."""
    connection = server.connect()
    for _ in range(2):
        connection.request("POST", "/v1/jobs", b"[]", {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 401
        response.read()
    connection.request("GET", "/v1/whoami", headers=server.merchant.headers)
    assert connection.getresponse().status == 200
    connection.close()


def test_a_download_and_its_second_half(server: Server, trained: Trained) -> None:
    """A download that broke off would not fit together."""
    path = f"/v1/models/{trained.model_id}/files/model.onnx"
    whole = trained.files["model.onnx"]
    connection = server.connect()
    connection.request("GET", path, headers=server.merchant.headers)
    response = connection.getresponse()
    first = response.read(1_000_000)
    etag = response.headers["ETag"]
    connection.close()
    connection = server.connect()
    rest = {"Range": f"bytes={len(first)}-", "If-Range": etag}
    connection.request("GET", path, headers={**server.merchant.headers, **rest})
    response = connection.getresponse()
    assert response.status == 206
    assert first + response.read() == whole
    connection.request("HEAD", path, headers=server.merchant.headers)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert response.headers["Content-Length"] == str(len(whole))
    connection.close()


def test_a_damaged_download_breaks_off(server: Server, trained: Trained) -> None:
    """A client would take damaged bytes for a whole model."""
    with server.api.database.write() as session:
        for chunk in session.query(BlobChunk).where(BlobChunk.seq == 1):
            chunk.data = chunk.data[::-1]
    connection = server.connect()
    path = f"/v1/models/{trained.model_id}/files/model.onnx"
    connection.request("GET", path, headers=server.merchant.headers)
    response = connection.getresponse()
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    connection.close()
