"""The API behind its real server: what only a socket can do to it."""

import hashlib
import http.client
import json
import os
import random
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from core.blobs import CHUNK_BYTES
from core.settings import Settings
from db.models import BlobChunk
from db.session import Database
from tests.support.api import Api, Trained, zipped
from tests.support.merchants import Merchant, create

ROOT = Path(__file__).parents[2]
_ENVIRONMENT = {
    "REGRAFT_API_BODY_SECONDS": "3",
    "REGRAFT_API_IDLE_SECONDS": "1",
    "REGRAFT_API_MIN_RATE": "1000000",
    "REGRAFT_API_THREADS": "16",
    "REGRAFT_UPLOAD_MAX_BYTES": "3000000",
}


class Server(NamedTuple):
    """A running gunicorn, one merchant, and the same database seen from inside."""

    port: int
    merchant: Merchant
    api: Api

    def connect(self) -> http.client.HTTPConnection:
        """Open a connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def raw(self, head: str, *pieces: bytes, pause: float = 0.0, shut: bool = False) -> bytes:
        """Send bytes as they are, with pauses, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode("latin-1"))
            try:
                for piece in pieces:
                    if select.select([connection], [], [], pause)[0]:
                        break
                    connection.sendall(piece)
                if shut:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the server may hang up first, and its answer is what counts
            return _everything(connection)

    def post(self, path: str, more: str = "") -> str:
        """Return the head of a POST, complete but for the blank line's end."""
        return (
            f"POST {path} HTTP/1.1\nHost: x\nAuthorization: Bearer {self.merchant.key}\n"
            f"Content-Type: application/json\n{more}\n"
        )


def _everything(connection: socket.socket) -> bytes:
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except (ConnectionResetError, TimeoutError):
        pass
    return found


def _error(answer: bytes) -> tuple[int, str]:
    """Return status and code of the one JSON answer in these bytes."""
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]["code"]


@pytest.fixture(scope="module")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Gunicorn with the settings that it has in production, but for shorter patience."""
    home = tmp_path_factory.mktemp("server")
    shutil.copy(sqlite_template, home / "regraft.db")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, **_ENVIRONMENT, "REGRAFT_HOME": str(home)}
    environment.pop("REGRAFT_DATABASE_URL", None)
    command = [sys.executable, "-m", "gunicorn", "-c", "api/gunicorn_conf.py"]
    process = subprocess.Popen(
        [*command, "-b", f"127.0.0.1:{port}", "api.wsgi:app"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    database = Database(f"sqlite:///{home / 'regraft.db'}")
    merchant = create(database, "Acme")
    found = Server(port, merchant, Api(Settings(home=home), database))
    _wait(found)
    yield found
    process.terminate()
    assert process.wait(20) == 0
    database.dispose()


def _wait(server: Server) -> None:
    deadline = time.monotonic() + 20
    while True:
        connection = server.connect()
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


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
    head = server.post("/v1/jobs", "Content-Length: 1000\n")
    for pieces, at_most in (([], 2.7), ([b"{"] * 60, 7.0)):
        started = time.monotonic()
        answer = server.raw(head, *pieces, pause=0.3)
        assert _error(answer) == (400, "incomplete_body")
        assert time.monotonic() - started < at_most


def test_slow_clients_do_not_delay_others(server: Server) -> None:
    """One merchant's bad connection would be everybody's outage."""
    head = server.post("/v1/jobs", "Content-Length: 1000\n").replace("\n", "\r\n").encode()
    slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]
    try:
        for held in slow:
            held.sendall(head + b"{")
        started = time.monotonic()
        connection = server.connect()
        connection.request("GET", "/v1/jobs", headers=server.merchant.headers)
        assert connection.getresponse().status == 200
        connection.close()
        assert time.monotonic() - started < 0.9
    finally:
        for held in slow:
            held.close()


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
