"""What operators do, and what time does: soak, migrations, backups."""

import contextlib
import sqlite3
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis
from sqlalchemy import text

from benchmarks.chaos.options import Options
from db.migrate import upgrade
from db.session import Database
from regraft.contract.status import TERMINAL, JobStatus
from tests.support.scene import Scene, scene

pytestmark = pytest.mark.slow
IN_FLIGHT = 20
_REDIS_BYTES = 5_000_000
_PARENT_AND_CHILD = 2


class _Process(NamedTuple):
    """The resident bytes and the open files of a process."""

    pid: int
    resident: int
    files: int


@pytest.mark.fault("F25")
def test_jobs_in_sequence_leave_nothing_behind(stage: Scene) -> None:
    """A worker that grows with each job is killed by the kernel one night."""
    _soak(stage, 150)


@pytest.mark.campaign
@pytest.mark.fault("F25")
@pytest.mark.timeout(1800)
def test_two_thousand_jobs_in_sequence_leave_nothing_behind(stage: Scene) -> None:
    """A leak of a few kilobytes a job is not seen in a short run."""
    _soak(stage, 2000)


def _soak(stage: Scene, count: int) -> None:
    """Run jobs one after the other, few at a time; compare the processes with what they were."""
    before = _warmed(stage)
    _run(stage, count)
    after = stage.wait(partial(_sizes, stage))
    assert after.keys() == before.keys()
    for name, process in before.items():
        assert after[name].resident < 1.1 * process.resident + _SLACK_BYTES, name
        assert after[name].files <= process.files + _SLACK_FILES, name
    with Redis.from_url(stage.service.redis.url) as redis:
        assert redis.info("memory")["used_memory"] < _REDIS_BYTES
    stage.check()


def _warmed(stage: Scene) -> dict[str, _Process]:
    """Run jobs until none of the processes is new: Celery replaces a child after 500 of them."""
    before = stage.wait(partial(_sizes, stage))
    while True:
        _run(stage, 60)
        after = stage.wait(partial(_sizes, stage))
        if {one.pid for one in after.values()} == {one.pid for one in before.values()}:
            return after
        before = after


# A first read of a table or a reconnect: not growth.
_SLACK_BYTES = 4_000_000
# A connection is three files, and each thread may come to have its own: not growth with jobs.
_SLACK_FILES = 9


def _run(stage: Scene, count: int) -> None:
    for begun in range(0, count, IN_FLIGHT):
        job_ids = stage.queue(min(IN_FLIGHT, count - begun))
        stage.wait(partial(stage.ended, job_ids))


def _sizes(stage: Scene) -> dict[str, _Process] | None:
    """Return what workers and controls take, by place; null while one of them is replaced."""
    found = {}
    for name in stage.service.names:
        if name.startswith(("worker", "control")):
            tree = stage.service.tree(name)[:_PARENT_AND_CHILD]
            if name.startswith("worker") and len(tree) < _PARENT_AND_CHILD:
                return None
            for depth, pid in enumerate(tree):
                size = _size(pid)
                if size is None:
                    return None
                found[f"{name}/{depth}"] = size
    return found


def _size(pid: int) -> _Process | None:
    """Return what a process takes; null for one that has ended."""
    try:
        _, is_living, rest = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return None
    return _Process(pid, 1024 * int(rest.split()[0]), files) if is_living else None


@pytest.mark.fault("F26")
@pytest.mark.parametrize("kind", ["stage", "postgres_stage"])
def test_a_migration_while_jobs_run(kind: str, request: pytest.FixtureRequest) -> None:
    """An upgrade of the schema would have to wait for the longest job, or fail them all."""
    stage: Scene = request.getfixturevalue(kind)
    job_ids = stage.queue(IN_FLIGHT, milliseconds=200)
    stage.wait(lambda: any(map(stage.is_training, job_ids)))
    upgrade(stage.service.settings.owner_url)
    column = f"added_{len(_columns(stage))}"
    owner = Database(stage.service.settings.owner_url)
    for table in ("job", "job_event", "worker_slot"):
        with owner.write() as session:
            session.execute(text(f"ALTER TABLE {table} ADD COLUMN {column} INTEGER DEFAULT 7"))
    owner.dispose()
    # One worker from before works beside one that has never seen the old schema.
    stage.service.kill("worker-1")
    stage.tend()
    later = stage.queue(IN_FLIGHT, milliseconds=20)
    stage.recover([*job_ids, *later])
    rows = [stage.row(job_id) for job_id in (*job_ids, *later)]
    assert {row.status for row in rows} == {JobStatus.SUCCEEDED}
    with stage.database.read() as session:
        assert set(session.scalars(text(f"SELECT {column} FROM job"))) == {7}  # noqa: S608


def _columns(stage: Scene) -> list[str]:
    with stage.database.read() as session:
        return list(session.execute(text("SELECT * FROM job LIMIT 1")).keys())


@pytest.mark.fault("F34")
def test_a_backup_taken_under_load_goes_on_elsewhere(stage: Scene, tmp_path: Path) -> None:
    """After a fire, the jobs in the backup would hang, or run and end a second time."""
    job_ids = _in_flight(stage)
    source = str(stage.database.engine.url.database)
    home = tmp_path / "home"
    home.mkdir()
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("VACUUM INTO ?", (str(home / "regraft.db"),))
    stage.recover(job_ids)
    with scene(Options(home=home, workers=2)) as restored:
        _all_continue(restored, job_ids)


@pytest.mark.fault("F34")
def test_a_dump_taken_under_load_goes_on_elsewhere(postgres_stage: Scene, tmp_path: Path) -> None:
    """After a fire, the jobs in the dump would hang, or run and end a second time."""
    stage = postgres_stage
    server = stage.service.postgres
    assert server is not None
    job_ids = _in_flight(stage)
    server.dump("chaos", tmp_path / "dump")
    stage.recover(job_ids)
    with scene(Options(home=tmp_path / "home", workers=2, db="postgres"), tmp_path / "dump") as new:
        _all_continue(new, job_ids)


def _in_flight(stage: Scene) -> list[str]:
    """Queue jobs and wait until some have ended, some run and some wait."""
    job_ids = stage.queue(IN_FLIGHT, milliseconds=200)
    stage.wait(lambda: sum(stage.row(job_id).status in TERMINAL for job_id in job_ids) >= 2)
    return job_ids


def _all_continue(restored: Scene, job_ids: list[str]) -> None:
    assert not restored.ended(job_ids)
    restored.recover(job_ids)
    assert {restored.row(job_id).status for job_id in job_ids} == {JobStatus.SUCCEEDED}
