"""The API behind its real server, as a test's own process."""

import http.client
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from core.settings import Settings
from db.session import Database
from deploy.redis import free_port
from tests.support.api import Api
from tests.support.merchants import Merchant, create

ROOT = Path(__file__).parents[2]


class Server(NamedTuple):
    """A running gunicorn, one merchant, and the same database seen from inside."""

    port: int
    pid: int
    home: Path
    merchant: Merchant
    api: Api

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self.home / "api.log").read_text()

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


@contextmanager
def running(home: Path, template: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """Run gunicorn over a fresh SQLite database in `home`; its log is `home/api.log`."""
    shutil.copy(template, home / "regraft.db")
    (home / "regraft.db").chmod(0o600)
    port = free_port()
    given = {**os.environ, **environment, "REGRAFT_HOME": str(home)}
    given.pop("REGRAFT_DATABASE_URL", None)
    command = [sys.executable, "-m", "gunicorn", "-c", "api/gunicorn_conf.py"]
    with (home / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-b", f"127.0.0.1:{port}", "api.wsgi:app"],
            cwd=ROOT,
            env=given,
            stderr=log,
            stdout=log,
        )
    database = Database(f"sqlite:///{home / 'regraft.db'}")
    merchant = create(database, "Acme")
    found = Server(port, process.pid, home, merchant, Api(Settings(home=home), database))
    try:
        _wait(found)
        yield found
    finally:
        process.terminate()
        status = process.wait(20)
        database.dispose()
    assert status == 0


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
