"""Faults of storage: disks that fill up, and a crowd of writers."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core.settings import Settings
from db.models import Job
from db.session import Database
from regraft.contract.status import JobStatus
from tests.support import light_trainer
from tests.support.api import Api
from tests.support.jobs import history, job, ready_dataset, submit, wait_for
from tests.support.merchants import Merchant
from tests.worker.conftest import opened
from worker.station import Station
from worker.supervisor.supervise import supervise

pytestmark = pytest.mark.slow
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, which only root can make."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(disk: Path) -> Path:
    """Write a file until there is no room for another byte."""
    ballast = disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(bytes(64 * 1024 * 1024))
    return ballast


@sqlite_only
@pytest.mark.fault("F17")
def test_a_full_disk_of_a_worker_only_delays(
    database: Database, settings: Settings, acme: Merchant, small_disk: Path
) -> None:
    """One big job would fail every job that comes after it on that host."""
    update = {"trainer_command": light_trainer.COMMAND, "home": small_disk / "home"}
    job_id = submit(database, acme.tenant_id, ready_dataset(database, acme.tenant_id))
    with opened(settings.model_copy(update=update)) as station:
        ballast = _fill(small_disk)
        supervise(station, job_id)
        assert job(database, job_id).status == JobStatus.QUEUED
        ballast.unlink()
        wait_for(partial(_ran, station, database, job_id), 15)
    assert history(database, job_id) == [
        *((None, "queued"), ("queued", "running"), ("running", "queued")),
        *(("queued", "running"), ("running", "succeeded")),
    ]
    assert list((small_disk / "home" / "work").iterdir()) == []


def _ran(station: Station, database: Database, job_id: str) -> bool:
    supervise(station, job_id)
    return job(database, job_id).status == JobStatus.SUCCEEDED


@sqlite_only
@pytest.mark.fault("F17")
def test_a_full_disk_of_the_api_refuses_the_upload_whole(
    database: Database, settings: Settings, acme: Merchant, small_disk: Path
) -> None:
    """Half an upload would look like a dataset, and train a model on half of the photos."""
    api = Api(settings.model_copy(update={"home": small_disk / "home"}), database)
    before = api.row_counts()
    ballast = _fill(small_disk)
    assert api.upload(acme).status_code == 507
    assert api.row_counts() == before
    ballast.unlink()
    assert api.stray_files() == []
    assert api.upload(acme).status_code == 202


_WRITER = """
import sys
from db.session import Database
from tests.support.jobs import submit
database = Database(sys.argv[1])
for _ in range(int(sys.argv[4])):
    submit(database, sys.argv[2], sys.argv[3])
"""


@sqlite_only
@pytest.mark.fault("F31")
def test_eight_processes_write_at_once(database: Database, acme: Merchant) -> None:
    """The embedded database would tell merchants that it is locked."""
    dataset = ready_dataset(database, acme.tenant_id)
    url = database.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", _WRITER, url, acme.tenant_id, dataset, "25"]
    with database.read() as long_reader:
        long_reader.scalar(select(func.count()).select_from(Job))
        writers = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(8)]
        said = [writer.communicate(timeout=60)[1].decode() for writer in writers]
        assert long_reader.scalar(select(func.count()).select_from(Job)) == 0
    assert said == [""] * 8
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 200
