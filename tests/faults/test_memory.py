"""Faults of a trainer's surroundings: no shared memory, and no memory at all."""

import re
import resource
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from core.settings import Settings, Timings
from db.repositories import jobs
from db.session import Database
from regraft.contract.job import JobSubmission
from regraft.contract.status import JobStatus
from tests.support import light_trainer
from tests.support.jobs import job, ready_dataset, submit, wait_for
from tests.support.light_trainer import Behaviour
from tests.support.memory import filling_command, memory_group
from tests.support.merchants import Merchant
from tests.worker.conftest import opened
from worker.supervisor.supervise import supervise

pytestmark = pytest.mark.slow
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
_SERVE = "-m worker.engine serve"
_MIB = 1024 * 1024
_GROUP_BYTES = 128 * _MIB


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
    after = _submitted(database, acme, 64)
    warming, large = list[str](), list[str]()
    with opened(settings.model_copy(update={"timings": Timings()})) as station:
        for number in (24, 32, 40, 48):
            # Once in twenty libc has no memory for a thread's own data, and aborts the trainer; as
            # rarely what the first job gave back is enough for the large one.
            # A trainer that has trained is loaded: one that still begins could not even do that.
            station.trainer.discard()
            warming.append(_submitted(database, acme, 8))
            supervise(station, warming[-1])
            trainer = station.trainer.take().pid
            limit = _data_bytes(trainer) + _MIB
            resource.prlimit(trainer, resource.RLIMIT_DATA, (limit, limit))
            large.append(_submitted(database, acme, number))
            supervise(station, large[-1])
            if job(database, large[-1]).status == "failed":
                break
        supervise(station, after)
        assert station.trainer.take().pid != trainer
    rows = [job(database, job_id) for job_id in (warming[0], large[-1], after)]
    assert [row.status for row in rows] == ["succeeded", "failed", "succeeded"]
    assert rows[0].attempt == rows[2].attempt == 1
    assert rows[1].error is not None
    assert rows[1].error["code"] == "out_of_memory"


@sqlite_only
@pytest.mark.fault("F23")
def test_a_trainer_that_the_kernel_kills_for_its_memory(
    database: Database, settings: Settings, acme: Merchant, zenith: Merchant
) -> None:
    """A merchant would read that workers die, and not that the job is too large."""
    sets = [ready_dataset(database, merchant.tenant_id) for merchant in (acme, zenith)]
    large = submit(database, acme.tenant_id, sets[0], seed=Behaviour.FILL_MEMORY)
    after = submit(database, zenith.tenant_id, sets[1])
    with memory_group(_GROUP_BYTES) as group:
        join = f"echo $$ > {group}; exec" if group else "exec"
        serve = f"{join} {shlex.join(light_trainer.COMMAND)}"
        with opened(
            settings.model_copy(update={"trainer_command": ("sh", "-c", serve)})
        ) as station:
            for job_id in (large, large, large, after):
                wait_for(partial(_is_in, group, station.trainer.take().pid), 5)
                supervise(station, job_id)
    rows = [job(database, job_id) for job_id in (large, after)]
    assert [(row.status, row.attempt) for row in rows] == [("failed", 3), ("succeeded", 1)]
    assert rows[0].error is not None
    assert rows[0].error["code"] == ("out_of_memory" if group else "worker_lost")


@sqlite_only
@pytest.mark.fault("F23")
def test_what_another_service_lacks_is_not_the_jobs_fault(
    database: Database, settings: Settings, acme: Merchant
) -> None:
    """A merchant would be told to shrink a job, because a neighbour of its worker was too large."""
    job_id = submit(database, acme.tenant_id, ready_dataset(database, acme.tenant_id))
    with memory_group(32 * _MIB) as group:
        if group is None:
            pytest.skip("no group of processes can be made here")
        neighbour = shlex.join(filling_command(group))
        serve = f"read order; {neighbour} < /dev/null > /dev/null; kill -9 $$"
        update = {"trainer_command": ("sh", "-c", serve)}
        with opened(settings.model_copy(update=update)) as station:
            for _ in range(3):
                supervise(station, job_id)
    row = job(database, job_id)
    assert (row.status, row.attempt) == ("failed", 3)
    assert row.error is not None
    assert row.error["code"] == "worker_lost"


def _is_in(group: Path | None, pid: int) -> bool:
    return group is None or str(pid) in group.read_text().split()


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
