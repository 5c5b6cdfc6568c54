"""Workspaces: whose they are, and who clears up after the dead."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from worker.places import Places

_HOLDER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from worker.places import Places
    with Places(Path(sys.argv[1])).workspace(sys.argv[2]) as folder:
        (folder / "half").write_text("written")
        print("held", flush=True)
        time.sleep(60)
    """
)


def _holder(home: Path, run: str) -> subprocess.Popen[str]:
    """Return a process that holds a workspace."""
    command = [sys.executable, "-c", _HOLDER, str(home), run]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_workspace_is_empty_at_first_and_gone_at_the_end(tmp_path: Path) -> None:
    """One attempt's files would be another's."""
    places = Places(tmp_path)
    (tmp_path / "work" / "job_x.1").mkdir(parents=True)
    (tmp_path / "work" / "job_x.1" / "old").write_text("from before")
    with places.workspace("job_x.1") as folder:
        assert list(folder.iterdir()) == []
        (folder / "new").write_text("of this run")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_fault_in_a_run_leaves_no_workspace(tmp_path: Path) -> None:
    """A disk would fill with the remains of failed runs."""
    with pytest.raises(RuntimeError, match="fault"), Places(tmp_path).workspace("job_x.1"):
        raise RuntimeError("fault")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_sweep_takes_from_the_dead_alone(tmp_path: Path) -> None:
    """A killed worker's files would stay for ever, or a running job lose its own.

    The dead process is not yet reaped here: a zombie's process id still exists.
    """
    dead, alive = _holder(tmp_path, "job_dead.1"), _holder(tmp_path, "job_alive.1")
    try:
        dead.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        assert Places(tmp_path).sweep() == 1
        assert [path.name for path in (tmp_path / "work").iterdir()] == ["job_alive.1"]
        assert (tmp_path / "work" / "job_alive.1" / "half").is_file()
    finally:
        for process in (dead, alive):
            process.kill()
            process.communicate()


def test_a_process_does_not_sweep_its_own_workspace(tmp_path: Path) -> None:
    """A child that opens its station must not take a running neighbour's folder."""
    places = Places(tmp_path)
    with places.workspace("job_x.1") as folder:
        assert places.sweep() == 0
        assert folder.is_dir()
