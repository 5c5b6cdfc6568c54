"""Control and workers as real processes on a real Redis, with scaled timings and short lives."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.settings import Settings
from deploy.processes import start

_CELERY = (
    *(sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-c", "1"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)


class Fleet:
    """The processes of one test, by name; each logs to a file below `home`."""

    def __init__(self, settings: Settings, redis_url: str) -> None:
        self.settings = settings.model_copy(update={"redis_url": redis_url})
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        temporary(settings.home).mkdir(parents=True, exist_ok=True)

    def control(self, name: str = "control") -> subprocess.Popen[bytes]:
        """Start a control process."""
        return self._start(name, (sys.executable, "-m", "worker.control"), "cpu")

    def worker(self, name: str = "worker", device_class: str = "cpu") -> subprocess.Popen[bytes]:
        """Start a Celery worker with one child."""
        return self._start(name, (*_CELERY, "-n", f"{name}@test"), device_class)

    def api(self, port: int, name: str = "api", device_class: str = "cpu") -> None:
        """Start the API on a port of 127.0.0.1; jobs that it takes are of this device class."""
        command = (sys.executable, "-m", "gunicorn", "-c", "api/gunicorn_conf.py")
        self._start(name, (*command, "-b", f"127.0.0.1:{port}", "api.wsgi:app"), device_class)

    def kill(self, name: str) -> None:
        """Kill a process as a loss of power does."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def log(self, name: str) -> str:
        """Return what a process has logged."""
        return self._log(name).read_text()

    def stop(self) -> None:
        """End every process that still runs, at once: how they drain has a test of its own."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def _start(self, name: str, command: tuple[str, ...], device: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **_environment(self.settings), "REGRAFT_DEVICE_CLASS": device}
        self.processes[name] = start(list(command), log=self._log(name), environment=environment)
        return self.processes[name]

    def _log(self, name: str) -> Path:
        return self.settings.home / f"{name}.log"


@contextmanager
def fleet(settings: Settings, redis_url: str) -> Iterator[Fleet]:
    """Yield a fleet without processes; whatever the test starts is ended."""
    made = Fleet(settings, redis_url)
    try:
        yield made
    finally:
        made.stop()


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(entry.name))
    return found


def temporary(home: Path) -> Path:
    """Return where the processes of a fleet put temporary files."""
    return home / "tmp"


def descendants(home: Path) -> list[int]:
    """Return the live processes that were started for the fleet of a home, orphans too."""
    mark = f"TMPDIR={temporary(home)}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in environment and is_alive(int(entry.name)):
            found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process is there; one that waits to be reaped is not."""
    return _state(pid) not in {"Z", "X"}


def is_running(pid: int) -> bool:
    """Tell whether a process is there and not stopped."""
    return _state(pid) not in {"Z", "X", "T"}


def _state(pid: int) -> str:
    """Return the letter of a process's state, `X` where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return stat.rpartition(")")[2].split()[0]


def _environment(settings: Settings) -> dict[str, str]:
    timings = settings.timings.model_dump()
    found = {f"REGRAFT_TIMING_{name.upper()}": str(value) for name, value in timings.items()}
    webhooks = settings.webhooks.model_dump(exclude={"key"})
    found |= {f"REGRAFT_WEBHOOK_{name.upper()}": str(value) for name, value in webhooks.items()}
    found["REGRAFT_API_RATE_REQUESTS"] = str(10**9)  # campaigns measure the service, not the limit
    found["REGRAFT_HOME"] = str(settings.home)
    found["REGRAFT_DATABASE_URL"] = settings.url
    found["REGRAFT_DATABASE_APP_URL"] = settings.database_app_url
    found["REGRAFT_REDIS_URL"] = settings.redis_url
    # Handed down to every descendant, so that each can be told from a stranger's process.
    found["TMPDIR"] = str(temporary(settings.home))
    if settings.trainer_command is not None:
        found["REGRAFT_TRAINER_COMMAND"] = json.dumps(settings.trainer_command)
    return found
