"""Following a job live: the real server, connections that are cut, and no place for a stream."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from db.lifecycle import events
from regraft.cli.app import app
from regraft.client import Client, ConnectionFailed, NotFoundError, RetryPolicy
from regraft.contract.ids import new_id
from regraft.contract.status import EventType, JobStatus
from tests.support.server import Server, running

pytestmark = pytest.mark.slow
_QUICK = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02)


class Cutter:
    """A proxy that cuts each connection after so many bytes of answers; 0 cuts none."""

    def __init__(self, target: int) -> None:
        self.after = 0
        self.connections = 0
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                self.connections += 1
                near.settimeout(20)
                far = socket.create_connection(("127.0.0.1", self._target), timeout=20)
                for one, other, limit in ((near, far, 0), (far, near, self.after)):
                    thread = threading.Thread(target=_pass_on, args=(one, other, limit))
                    thread.daemon = True
                    thread.start()


def _pass_on(one: socket.socket, other: socket.socket, limit: int) -> None:
    count = 0
    with contextlib.suppress(OSError):
        while piece := one.recv(256):
            count += len(piece)
            other.sendall(piece)
            if limit and count >= limit:
                break
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    one.close()


@pytest.fixture(scope="module")
def server(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with eight places for a merchant's streams: a cut one is noticed late."""
    environment = {"REGRAFT_API_STREAMS": "16"}
    with running(tmp_path_factory.mktemp("server"), sqlite_template, environment) as found:
        yield found


@pytest.fixture
def cutter(server: Server) -> Iterator[Cutter]:
    """A proxy before the server."""
    made = Cutter(server.port)
    yield made
    made.close()


@pytest.fixture
def job(server: Server) -> str:
    """A queued job."""
    made = server.api.submit(server.merchant, server.api.ready_dataset(server.merchant))
    return str(made.get_json()["id"])


def _tell(server: Server, job_id: str, message: str, kind: EventType = "message") -> None:
    with server.api.database.write() as session:
        events.record(
            session,
            tenant_id=server.merchant.tenant_id,
            job_id=job_id,
            fence=1,
            level="info",
            type=kind,
            message=message,
            data={"to": JobStatus.SUCCEEDED} if kind == "status" else {},
        )


def _client(server: Server, port: int | None = None) -> Client:
    return Client(f"http://127.0.0.1:{port or server.port}", server.merchant.key, retry=_QUICK)


def test_events_come_as_they_happen(server: Server, job: str) -> None:
    """A merchant would look at a bar that stands still."""
    with _client(server) as client:
        following = client.jobs.follow(job)
        assert next(following).message == "Queued."
        for text in ("one", "two\u2028lines\nof text"):
            _tell(server, job, text)
            assert next(following).message == text
        _tell(server, job, "done", "status")
        last = next(following)
        assert last.message == "done"
        assert list(following) == []
        assert list(client.jobs.follow(job, last=last.id)) == []


def test_a_cut_connection_goes_on_where_it_was(server: Server, job: str, cutter: Cutter) -> None:
    """Every cut would lose events, or bring them twice."""
    texts = [f"event {number} {'x' * 200}" for number in range(30)]
    for text in texts:
        _tell(server, job, text)
    _tell(server, job, "done", "status")
    cutter.after = 4000
    with _client(server, cutter.port) as client:
        seen = [event.message for event in client.jobs.follow(job)]
    assert seen == ["Queued.", *texts, "done"]
    assert cutter.connections > 3


def test_without_a_place_the_pages_are_read(server: Server, job: str) -> None:
    """With all places taken nobody else could follow a job."""
    with _client(server) as first, _client(server) as second:
        held = [first.jobs.follow(job) for _ in range(8)]
        for one in held:
            next(one)
        following = second.jobs.follow(job)
        assert next(following).message == "Queued."
        _tell(server, job, "one")
        assert next(following).message == "one"
        _tell(server, job, "done", "status")
        assert [event.message for event in following] == ["done"]
        for one in held:
            assert [event.message for event in one] == ["one", "done"]


def test_a_service_that_stays_away_is_said(server: Server, job: str, cutter: Cutter) -> None:
    """A script would hang for ever beside a service that is gone."""
    with _client(server, cutter.port) as client:
        following = client.jobs.follow(job)
        next(following)
        cutter.close()
        del following
        with pytest.raises(ConnectionFailed):
            list(client.jobs.follow(job))


def test_no_such_job(server: Server) -> None:
    """A mistyped id would be waited for."""
    with _client(server) as client, pytest.raises(NotFoundError):
        next(client.jobs.follow(new_id("job")))


def test_the_command(server: Server, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal would show nothing until a job is over."""
    monkeypatch.setenv("REGRAFT_URL", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("REGRAFT_API_KEY", server.merchant.key)
    server.api.post(f"/v1/jobs/{job}/cancel", server.merchant)
    ran = CliRunner().invoke(app, ["jobs", "watch", job])
    assert "Queued." in ran.stdout
    assert "Cancelled before it ran." in ran.stdout
    assert ran.exit_code == 1
    again = CliRunner().invoke(app, ["jobs", "retry", job, "--json"])
    assert json.loads(again.stdout)["status"] == "queued"
    lines = CliRunner().invoke(app, ["jobs", "watch", job, "--json"]).stdout.splitlines()
    assert [json.loads(line)["type"] for line in lines[:2]] == ["status", "status"]
