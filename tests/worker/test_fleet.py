"""Real control, real Celery workers, a real Redis: what dies, and what must not be lost."""

import json
import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest
from redis import Redis
from sqlalchemy import func, select

from core.queues import RUN_TASK, queue_name
from core.settings import Settings
from db.models import Dataset, JobResult, Model, WorkerSlot
from db.repositories import jobs
from db.session import Database
from deploy.redis import EmbeddedRedis
from tests.support.fleet import Fleet, children, fleet, is_alive
from tests.support.jobs import history, job, picture, submit, upload, wait_for
from tests.support.light_trainer import Behaviour
from tests.support.merchants import Merchant
from worker.app import app

pytestmark = pytest.mark.slow
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
DONE = [(None, "queued"), ("queued", "running"), ("running", "succeeded")]


@pytest.fixture
def running(light: Settings, redis_url: str) -> Iterator[Fleet]:
    """Control and one worker, not yet ready."""
    with fleet(light, redis_url) as made:
        made.control()
        made.worker()
        yield made


def _is_training(database: Database, job_id: str) -> bool:
    return job(database, job_id).progress is not None


def _supervisor_and_trainer(found: Fleet, name: str = "worker") -> tuple[int, int]:
    """Return the process ids of a worker's Celery child and of its trainer."""
    (supervisor,) = children(found.processes[name].pid)
    (trainer,) = children(supervisor)
    return supervisor, trainer


def _ended(database: Database, job_ids: list[str]) -> bool:
    return all(job(database, job_id).status == "succeeded" for job_id in job_ids)


def _nothing_is_lost_or_doubled(database: Database, job_ids: list[str]) -> None:
    """I1 and I2 of the oracle."""
    with database.read() as session:
        results = session.scalar(select(func.count()).select_from(JobResult))
        models = session.scalar(select(func.count(func.distinct(Model.job_id))))
    assert _ended(database, job_ids)
    assert results == models == len(job_ids)


def test_a_queued_job_starts_at_once_and_an_upload_is_checked(
    database: Database, running: Fleet, acme: Merchant
) -> None:
    """A merchant would wait for a clock's tick where nobody else is in the queue."""
    running.worker("ingest", "ingest")
    files = {f"{label}/{n}.png": picture(n) for n, label in enumerate(["mug", "plate"] * 3)}
    dataset_id, ingest_id = upload(database, acme.tenant_id, files)
    wait_for(lambda: job(database, ingest_id).status == "succeeded")
    with database.read() as session:
        assert session.get_one(Dataset, dataset_id).status == "ready"
    waits = []
    for _ in range(5):
        job_id = submit(database, acme.tenant_id, dataset_id)
        wait_for(partial(_ended, database, [job_id]))
        row = job(database, job_id)
        waits.append((row.started_at or 0) - row.created_at)
        assert history(database, job_id) == DONE
    assert sorted(waits)[2] < 0.25, waits


@pytest.mark.fault("F1")
def test_killed_trainers_and_supervisors_lose_no_job(
    database: Database, running: Fleet, acme: Merchant, dataset: str
) -> None:
    """A host that runs out of memory would cost the jobs that it ran, and leave strays behind."""
    job_id = submit(database, acme.tenant_id, dataset, milliseconds=800)
    wait_for(lambda: _is_training(database, job_id))
    os.kill(_supervisor_and_trainer(running)[1], signal.SIGKILL)
    wait_for(lambda: job(database, job_id).attempt == 2 and _is_training(database, job_id))
    supervisor, trainer = _supervisor_and_trainer(running)
    os.kill(supervisor, signal.SIGKILL)
    died = time.monotonic()
    wait_for(lambda: not is_alive(trainer), 1)
    wait_for(lambda: job(database, job_id).attempt == 3)
    timings = running.settings.timings
    assert (
        time.monotonic() - died < timings.lease + timings.reaper_interval + timings.redispatch + 1
    )
    wait_for(lambda: _ended(database, [job_id]))
    assert job(database, job_id).attempt == 3
    _nothing_is_lost_or_doubled(database, [job_id])


@pytest.mark.fault("F5")
@sqlite_only
def test_a_wiped_redis_loses_no_job(
    database: Database,
    running: Fleet,
    redis_server: EmbeddedRedis,
    acme: Merchant,
    dataset: str,
) -> None:
    """A restart of Redis would lose every job that waits, for ever and without a word."""
    job_ids = [submit(database, acme.tenant_id, dataset, milliseconds=900) for _ in range(4)]
    hints = Redis.from_url(running.settings.redis_url)
    queue = f"regraft:{queue_name('cpu')}"
    wait_for(lambda: hints.llen(queue))
    redis_server.flush()
    assert hints.llen(queue) == 0
    hints.close()
    wait_for(lambda: _ended(database, job_ids), 30)
    _nothing_is_lost_or_doubled(database, job_ids)


@pytest.mark.fault("F10")
@sqlite_only
def test_doubled_and_forged_messages_change_nothing(
    database: Database, running: Fleet, acme: Merchant, dataset: str, redis_url: str
) -> None:
    """Whoever can write to Redis could run jobs twice, or stop the workers."""
    job_id = submit(database, acme.tenant_id, dataset, milliseconds=500)
    with app.connection_for_write(redis_url) as connection:
        for _ in range(10):
            _send(connection, [job_id])
        for junk in ("[]", "[null]", '["job_x"]', "[7]", '["a", "b"]', '[{"a": 1}]', '[["x"]]'):
            _send(connection, json.loads(junk))
        _send(connection, ["job_00000000000000000000000000"])
        app.send_task("regraft.unknown", [], connection=connection, queue=queue_name("cpu"))
    with Redis.from_url(running.settings.redis_url) as raw:
        for item in (b"\x80garbage", b'{"body": "x"}', b"[1]", b"null"):
            raw.lpush(f"regraft:{queue_name('cpu')}", item)
    wait_for(lambda: _ended(database, [job_id]))
    after = submit(database, acme.tenant_id, dataset)
    wait_for(lambda: _ended(database, [after]))
    assert history(database, job_id) == DONE
    assert running.processes["worker"].poll() is None
    _nothing_is_lost_or_doubled(database, [job_id, after])


def _send(connection: object, arguments: list[object]) -> None:
    app.send_task(RUN_TASK, arguments, connection=connection, queue=queue_name("cpu"), retry=False)


@pytest.mark.fault("F20")
@sqlite_only
def test_cancelling_works_at_every_moment(
    database: Database, light: Settings, redis_url: str, acme: Merchant, dataset: str
) -> None:
    """A cancelled job would run all the same once a worker comes up."""
    with fleet(light, redis_url) as found:
        found.control()
        waiting = submit(database, acme.tenant_id, dataset)
        _cancel(database, acme, waiting)
        found.worker()
        running = submit(database, acme.tenant_id, dataset, seed=Behaviour.TRAIN_LONG)
        wait_for(lambda: _is_training(database, running))
        _cancel(database, acme, running)
        wait_for(lambda: job(database, running).status == "cancelled", 5)
        after = submit(database, acme.tenant_id, dataset)
        wait_for(lambda: _ended(database, [after]))
    assert history(database, waiting) == [(None, "queued"), ("queued", "cancelled")]
    _nothing_is_lost_or_doubled(database, [after])


def _cancel(database: Database, merchant: Merchant, job_id: str) -> None:
    with database.write() as session:
        jobs.cancel(session, merchant.tenant_id, job_id)


@pytest.mark.fault("F3")
@sqlite_only
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT])
def test_a_worker_that_is_told_to_stop_gives_its_job_back(
    database: Database, running: Fleet, acme: Merchant, dataset: str, how: signal.Signals
) -> None:
    """Each deployment would cost the running jobs a life, and their merchants a minute."""
    job_id = submit(database, acme.tenant_id, dataset, seed=Behaviour.TRAIN_LONG)
    wait_for(lambda: _is_training(database, job_id))
    supervisor, trainer = _supervisor_and_trainer(running)
    worker = running.processes["worker"]
    began = time.monotonic()
    worker.send_signal(how)
    wait_for(lambda: job(database, job_id).status == "queued", 5)
    worker.wait(15)
    assert time.monotonic() - began < 12
    assert job(database, job_id).lost_count == 0
    assert not is_alive(supervisor)
    assert not is_alive(trainer)
    with database.read() as session:
        assert session.scalars(select(WorkerSlot)).all() == []


@pytest.mark.fault("F8")
@sqlite_only
def test_a_stopped_worker_that_wakes_up_commits_nothing(
    database: Database, running: Fleet, acme: Merchant, dataset: str
) -> None:
    """A host that freezes and thaws would overwrite what another made meanwhile."""
    job_id = submit(database, acme.tenant_id, dataset, milliseconds=900)
    wait_for(lambda: _is_training(database, job_id))
    frozen = _supervisor_and_trainer(running)
    with database.write() as session:
        # Whoever freezes inside a write keeps SQLite's one lock, and nobody can take over.
        session.connection()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
    running.worker("second")
    wait_for(lambda: _ended(database, [job_id]), 30)
    for pid in reversed(frozen):  # the supervisor that wakes up kills its trainer at once
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: "stale fence" in running.log("worker") or "abandoned" in running.log("worker"))
    assert job(database, job_id).attempt == 2
    _nothing_is_lost_or_doubled(database, [job_id])


@pytest.mark.fault("F11", "F24")
@sqlite_only
def test_two_controls_and_a_killed_one_change_nothing(
    database: Database, running: Fleet, acme: Merchant, dataset: str
) -> None:
    """High availability would double every job."""
    running.control("second")
    job_ids = [submit(database, acme.tenant_id, dataset, milliseconds=100) for _ in range(4)]
    running.kill("control")
    wait_for(lambda: _ended(database, job_ids), 30)
    assert [job(database, job_id).attempt for job_id in job_ids] == [1] * 4
    _nothing_is_lost_or_doubled(database, job_ids)


@pytest.mark.fault("F7")
@sqlite_only
def test_redis_away_wedges_nothing(
    database: Database,
    running: Fleet,
    redis_server: EmbeddedRedis,
    acme: Merchant,
    dataset: str,
) -> None:
    """A hung Redis would stop the reaper too, and with it every recovery."""
    long = submit(database, acme.tenant_id, dataset, seed=Behaviour.TRAIN_LONG)
    wait_for(lambda: _is_training(database, long))
    assert redis_server.process is not None
    redis_server.process.send_signal(signal.SIGSTOP)
    try:
        queued = submit(database, acme.tenant_id, dataset)
        os.kill(_supervisor_and_trainer(running)[0], signal.SIGKILL)
        wait_for(lambda: job(database, long).status == "queued", 8)
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    _cancel(database, acme, long)
    wait_for(lambda: _ended(database, [queued]), 30)


@sqlite_only
def test_a_slot_lives_as_long_as_its_process(database: Database, running: Fleet) -> None:
    """Hints would be sent to the dead, or the living be forgotten."""

    def live() -> set[str]:
        with database.read() as session:
            return set(session.scalars(select(WorkerSlot.id)))

    first = wait_for(live)
    os.kill(children(running.processes["worker"].pid)[0], signal.SIGKILL)
    wait_for(lambda: live() - first)
