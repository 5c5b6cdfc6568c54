"""The embedded stack on one machine: `python -m deploy.stack` starts it and prints how to use it.

SQLite and a Redis that a package carries, unless `REGRAFT_DATABASE_URL` or `REGRAFT_REDIS_URL`
name others; api, serve, control and two Celery workers as processes of their own.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple, Self

from core.queues import INGEST_CLASS, queue_name
from deploy.processes import start, stop
from deploy.redis import EmbeddedRedis, free_port, is_free

ROOT = Path(__file__).parents[1]
_READY_SECONDS = 60
_WATCH_SECONDS = 1.0


class Account(NamedTuple):
    """A merchant and the key that was made for it."""

    merchant: str
    key: str


class StackError(RuntimeError):
    """The stack could not be started; the message says what to do."""


class Stack:
    """Every process of the service below one folder; `with Stack(home) as stack:` runs it."""

    def __init__(
        self, home: Path, port: int | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self.home = home.resolve()
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        serve = f"127.0.0.1:{free_port()}"
        self._environment = {
            "REGRAFT_SERVE_URL": f"http://{serve}",
            "REGRAFT_SERVE_BIND": serve,
            **os.environ,
            **(environment or {}),
            "REGRAFT_HOME": str(self.home),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.redis: EmbeddedRedis | None = None

    @property
    def logs(self) -> Path:
        """Where each process writes."""
        return self.home / "logs"

    def start(self) -> None:
        """Migrate the database, start every process, and wait until the API answers.

        Raises:
            StackError: it could not start; what had been started is stopped again.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        if not is_free(self.port):
            raise StackError(
                f"port {self.port} is in use; choose another, e.g. `make up PORT=8081`"
            )
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        if "REGRAFT_REDIS_URL" not in self._environment:
            self.redis = EmbeddedRedis(self.home / "redis")
            self.redis.start()
            self._environment["REGRAFT_REDIS_URL"] = self.redis.url
        self._python("-m", "db.migrate")
        for name in self._commands():
            self.start_process(name)
        self._wait_until_ready()

    def start_process(self, name: str) -> None:
        """Start one process of the stack, for the first time or again."""
        self.processes[name] = start(
            self._commands()[name],
            log=self.logs / f"{name}.log",
            environment={**self._without_owner(), **_LABELS.get(name, {})},
        )

    def _without_owner(self) -> dict[str, str]:
        """Return what services are told: only the migration needs the tables' owner."""
        told = self._environment.items()
        return {name: value for name, value in told if name != "REGRAFT_DATABASE_OWNER_URL"}

    def stop(self) -> None:
        """End what was started, newest first: workers drain before Redis goes."""
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in reversed(self.processes.values()):
            stop(process)
        self.processes.clear()
        if self.redis is not None:
            self.redis.stop()

    def create_merchant(self, name: str) -> Account:
        """Create a merchant and return its first key, which is shown only this once."""
        answer = json.loads(self._python("-m", "db.admin", "create-merchant", name, "--json"))
        return Account(answer["merchant"], answer["key"])

    def account(self) -> Account:
        """Return this folder's own merchant, created at the first start and kept for the next."""
        kept = self.home / "account.json"
        if not kept.exists():
            kept.touch(mode=0o600)
            kept.write_text(json.dumps(self.create_merchant("My shop")._asdict()))
        return Account(**json.loads(kept.read_text()))

    def dead(self) -> list[str]:
        """Return the names of processes that have ended."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def _commands(self) -> dict[str, list[str]]:
        """Return each process's command line; a GPU worker differs in its device class alone."""
        device = self._environment.get("REGRAFT_DEVICE_CLASS", "cpu")
        celery = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-c", "1"]
        return {
            "api": [
                *(sys.executable, "-m", "gunicorn", "-c", "api/gunicorn_conf.py"),
                *("-b", self.url.removeprefix("http://"), "api.wsgi:app"),
            ],
            "serve": [
                *(sys.executable, "-m", "gunicorn", "-c", "serve/gunicorn_conf.py"),
                "serve.wsgi:app",
            ],
            "control": [sys.executable, "-m", "worker.control"],
            "ingest": [*celery, "-Q", queue_name(INGEST_CLASS), "-n", "ingest@%h", *quiet],
            "trainer": [*celery, "-Q", queue_name(device), "-n", "trainer@%h", *quiet],
        }

    def _python(self, *arguments: str) -> str:
        """Run one of our modules to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise StackError(f"{' '.join(arguments)}: {reason}")
        return done.stdout

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not _answers(f"{self.url}/readyz"):
            if dead := self.dead():
                raise StackError(f"{', '.join(dead)} ended at once; see {self.logs}")
            if time.monotonic() > deadline:
                raise StackError(f"the API did not become ready; see {self.logs}")
            time.sleep(0.05)

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


_LABELS = {"ingest": {"REGRAFT_DEVICE_CLASS": INGEST_CLASS}}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            status: int = answer.status
    except (urllib.error.URLError, OSError):
        return False
    return status == HTTPStatus.OK


def _keep_running(stack: Stack, ended: threading.Event) -> None:
    """Start again whatever dies, until told to end."""
    while not ended.wait(_WATCH_SECONDS):
        for name in stack.dead():
            _say(f"{name} ended and is started again; see {stack.logs / name}.log")
            stack.start_process(name)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stack until it is interrupted."""
    parser = argparse.ArgumentParser(description="Run the whole service on this machine.")
    parser.add_argument("--home", type=Path, default=ROOT / ".regraft", help="state and logs")
    parser.add_argument("--port", type=int, default=8080, help="of the API, on 127.0.0.1")
    options = parser.parse_args(arguments)
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, end)
    try:
        _serve(Stack(options.home, options.port), ended)
    except StackError as error:
        sys.exit(f"Regraft did not start: {error}")


def _serve(stack: Stack, ended: threading.Event) -> None:
    with stack:
        account = stack.account()
        _say(f"export REGRAFT_URL={stack.url}\nexport REGRAFT_API_KEY={account.key}")
        _say("Regraft is up. Paste the two lines above into another shell; Ctrl-C stops it.")
        _keep_running(stack, ended)
        _say("Stopping.")


if __name__ == "__main__":
    main()
