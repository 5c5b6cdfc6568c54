"""The embedded stack: it starts whole or says why not, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.stack import ROOT, Stack, StackError


def _group(home: Path) -> list[int]:
    """Return the ids of all living processes that were started for this folder."""
    wanted = f"REGRAFT_HOME={home.resolve()}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if wanted in environment and state != "Z":
            found.append(int(entry.name))
    return found


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


def test_a_port_in_use_is_said_at_once(tmp_path: Path) -> None:
    """A newcomer would be shown another program's address as the service's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} is in use"):
            Stack(tmp_path, port).start()
    assert _group(tmp_path) == []


def test_a_database_that_is_not_there_is_said(tmp_path: Path) -> None:
    """An operator with a typing error in the URL must read about the database, not a traceback."""
    url = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    with pytest.raises(StackError, match="REGRAFT_DATABASE_URL cannot be used"):
        Stack(tmp_path, environment={"REGRAFT_DATABASE_URL": url}).start()
    _until(lambda: _group(tmp_path) == [])


def test_a_dead_launcher_leaves_nothing(tmp_path: Path) -> None:
    """Servers left over from a crashed `make up` would hold the port and the database."""
    command = [sys.executable, "-m", "deploy.stack", "--home", str(tmp_path), "--port", "0"]
    with (tmp_path / "out").open("wb") as out:
        launcher = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
    _until(lambda: "Regraft is up" in (tmp_path / "out").read_text(), 60)
    assert len(_group(tmp_path)) >= 7
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    _until(lambda: _group(tmp_path) == [])


def test_interrupt_stops_and_the_next_start_finds_the_account(tmp_path: Path) -> None:
    """Ctrl-C must end every process, and must not cost the merchant its datasets."""
    keys = []
    for _ in range(2):
        command = [sys.executable, "-m", "deploy.stack", "--home", str(tmp_path), "--port", "0"]
        with (tmp_path / "out").open("wb") as out:
            launcher = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        _until(lambda: "Regraft is up" in (tmp_path / "out").read_text(), 60)
        launcher.send_signal(signal.SIGINT)
        assert launcher.wait(30) == 0
        lines = (tmp_path / "out").read_text().splitlines()
        keys.append(next(line for line in lines if "REGRAFT_API_KEY" in line))
        assert _group(tmp_path) == []
    assert keys[0] == keys[1]
