"""Faults of a trainer's surroundings: no shared memory, and no memory at all."""

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import Settings, Timings
from db.repositories import jobs
from db.session import Database
from regraft.contract.job import JobSubmission
from regraft.contract.status import JobStatus
from tests.support.jobs import job, ready_dataset
from tests.support.merchants import Merchant
from tests.worker.conftest import opened
from worker.supervisor.supervise import supervise

pytestmark = pytest.mark.slow
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
_SERVE = "-m worker.engine serve"
_MIB = 1024 * 1024


def _namespace() -> tuple[str, ...]:
    """Return a command that puts what follows into a mount namespace of its own.

    Whoever is not root becomes so within a user namespace, where the kernel allows it.
    """
    for prefix in (("unshare", "-m"), ("unshare", "-r", "-m")):
        if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0:
            return prefix
    return ()


@sqlite_only
@pytest.mark.fault("F16")
def test_training_needs_no_shared_memory(
    database: Database, settings: Settings, acme: Merchant
) -> None:
    """A container has 64 MiB of it, and a training that needs more dies or hangs."""
    seen, alone = settings.home.parent / "shm", _namespace()
    fill = "mount -t tmpfs -o size=64k tmpfs /dev/shm; cat /dev/zero > /dev/shm/x"
    serve = f"({fill}; df -P /dev/shm) > {seen} 2> /dev/null; exec {sys.executable} {_SERVE}"
    command = (*alone, "sh", "-c", serve) if alone else (sys.executable, *_SERVE.split())
    job_id = _submitted(database, acme, 8)
    update = {"trainer_command": command, "timings": Timings()}
    with opened(settings.model_copy(update=update)) as station:
        supervise(station, job_id)
        mapped = Path(f"/proc/{station.trainer.take().pid}/maps").read_text()
    row = job(database, job_id)
    assert row.error is None
    assert (row.status, row.attempt) == (JobStatus.SUCCEEDED, 1)
    assert "/dev/shm" not in mapped  # noqa: S108 - looked for, not written to
    assert not alone or "100%" in seen.read_text()


@sqlite_only
@pytest.mark.fault("F23")
def test_a_trainer_without_memory_fails_its_job_alone(
    database: Database, settings: Settings, acme: Merchant
) -> None:
    """A job that is too large would take the worker with it, and every job that comes after."""
    first, large, after = (_submitted(database, acme, number) for number in (8, 24, 40))
    with opened(settings.model_copy(update={"timings": Timings()})) as station:
        supervise(station, first)
        trainer = station.trainer.take().pid
        limit = _data_bytes(trainer) + _MIB
        resource.prlimit(trainer, resource.RLIMIT_DATA, (limit, limit))
        supervise(station, large)
        supervise(station, after)
        assert station.trainer.take().pid != trainer
    rows = [job(database, job_id) for job_id in (first, large, after)]
    assert [row.status for row in rows] == ["succeeded", "failed", "succeeded"]
    assert [row.attempt for row in rows] == [1, 1, 1]
    assert rows[1].error is not None
    assert rows[1].error["code"] == "out_of_memory"


def _data_bytes(pid: int) -> int:
    """Return what a process has of what RLIMIT_DATA limits."""
    (line,) = re.findall(r"VmData:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024


def _submitted(database: Database, acme: Merchant, num_images: int) -> str:
    """Queue a real training on so many images; those of a smaller dataset are among them."""
    dataset_id = ready_dataset(database, acme.tenant_id, num_images)
    with database.write() as session:
        submission = JobSubmission(dataset=dataset_id)
        job_id: str = jobs.submit(session, acme.tenant_id, submission, "cpu").job.id
    return job_id
