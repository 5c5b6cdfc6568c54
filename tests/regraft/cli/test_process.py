"""The command line as a process of its own: start time, exit codes, Ctrl-C, pipes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from regraft.contract.ids import new_id
from regraft.contract.job import JobSubmission
from tests.regraft import examples
from tests.regraft.standin import KEY, Standin

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "regraft.cli")


def start(service: Standin, *arguments: str, **env: str) -> subprocess.Popen[str]:
    """Start the command line with nothing of this process's settings."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "REGRAFT_URL": service.url,
            "REGRAFT_API_KEY": KEY,
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        out, err = process.communicate(timeout=20)
    return process.returncode, out, err


@pytest.mark.slow
def test_a_job_from_push_to_download(service: Standin, photos: Path, tmp_path: Path) -> None:
    """The way of the README, in real processes."""

    def answer(*arguments: str) -> dict[str, str]:
        code, out, err = ended(start(service, *arguments, "--json"))
        assert (code, err) == (0, "")
        value = json.loads(out)
        assert isinstance(value, dict)
        return value

    dataset = answer("datasets", "push", str(photos), "--no-wait")["id"]
    job = answer("jobs", "submit", "--dataset", dataset, "--follow")
    assert job["status"] == "succeeded"
    got = answer("models", "download", job["model"], "--to", str(tmp_path))
    assert Path(got["path"]).read_bytes() == service.files["bundle.zip"]


@pytest.mark.slow
def test_ctrl_c_says_that_the_job_goes_on(service: Standin) -> None:
    """The user would think that the job was stopped, and submit it again."""
    job = examples.job(JobSubmission(dataset=new_id("ds")))
    service.jobs[job.id] = deque([job])
    process = start(service, "jobs", "follow", job.id)
    deadline = time.monotonic() + 10
    while not service.seen and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    code, out, err = ended(process)
    assert (code, out) == (130, "")
    assert f"{job.id} goes on" in err
    assert f"regraft jobs follow {job.id}" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["whoami"], 0), (["jobs", "show", "job_x"], 1), (["jobs", "shw"], 2), ([], 2)],
)
def test_exit_codes(service: Standin, arguments: Sequence[str], expected: int) -> None:
    """Shell scripts see nothing else."""
    code, _, err = ended(start(service, *arguments))
    assert code == expected
    assert "Traceback" not in err


@pytest.mark.slow
def test_bars_are_drawn_where_they_are_forced(service: Standin) -> None:
    """Without a terminal there are plain lines; with one, a bar that moves."""
    job = examples.job(JobSubmission(dataset=new_id("ds")))
    for forced in (False, True):
        service.jobs[job.id] = deque(examples.course(job, service.model.id))
        env = {"FORCE_COLOR": "1"} if forced else {}
        code, _, err = ended(start(service, "jobs", "follow", job.id, **env))
        assert code == 0
        assert ("\x1b[" in err) is forced


@pytest.mark.slow
def test_help_loads_nothing_heavy(service: Standin) -> None:
    """A command line that hesitates is not used."""
    code, out, err = ended(start(service, "--help", PYTHONPROFILEIMPORTTIME="1"))
    assert code == 0
    assert "datasets" in out
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in err.splitlines()}
    assert {"regraft", "typer"} <= loaded
    heavy = {"torch", "numpy", "onnxruntime", "PIL", "sqlalchemy", "flask", "celery", "pyarrow"}
    assert not loaded & heavy


@pytest.mark.slow
def test_an_ascii_terminal_gets_something(service: Standin) -> None:
    """A class called `Gläser` would end the run with a codec error."""
    dataset = examples.dataset("Gläser 杯")
    service.datasets[dataset.id] = deque([dataset])
    env = {"PYTHONIOENCODING": "ascii"}
    code, out, _ = ended(start(service, "datasets", "show", dataset.id, **env))
    assert code == 0
    assert "Gl?ser" in out
