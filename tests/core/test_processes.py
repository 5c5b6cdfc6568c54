"""Whose memory ran out: a trainer that is killed for it must not be taken for any other."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core import processes
from core.processes import kill_counter, oom_kills
from tests.support.memory import filling_command, memory_group

_MIB = 1024 * 1024


def test_a_kill_counts_in_its_own_group_alone() -> None:
    """A merchant would read that a job is too large, because another service was."""
    with memory_group(32 * _MIB) as group:
        if group is None:
            pytest.skip("no group of processes can be made here")
        ours = kill_counter(os.getpid())
        before = oom_kills(ours)
        with subprocess.Popen(
            filling_command(group), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as filling:
            assert filling.stdout is not None
            filling.stdout.readline()
            theirs = kill_counter(filling.pid)
            assert oom_kills(theirs) == 0
            filling.communicate("x")
        assert filling.returncode == -signal.SIGKILL
        assert oom_kills(theirs) == 1
        assert theirs.parent == group.parent
        assert ours != theirs
        assert oom_kills(ours) == before


def test_without_groups_the_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no group can be read every kill for memory would be one without a reason."""
    monkeypatch.setattr(processes, "_MEMORY_GROUPS", ())
    counter = kill_counter(os.getpid())
    assert f"oom_kill {oom_kills(counter)}" in counter.read_text().splitlines()


def test_a_process_that_is_gone_has_no_group(tmp_path: Path) -> None:
    """The supervisor would fail with the trainer that it is to replace."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert kill_counter(ended.pid) == Path("/proc/vmstat")
    assert oom_kills(tmp_path / "none") == 0
