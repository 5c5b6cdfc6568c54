"""One job in one worker, with real processes and a real database; no queue."""

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import PoolProxiedConnection

from core.settings import Settings
from db.lifecycle import checkpoints
from db.lifecycle.reap import reap
from db.models import (
    BlobChunk,
    FileSegment,
    Job,
    JobCheckpoint,
    JobEvent,
    JobMetric,
    JobResult,
    Model,
    ModelFile,
    WorkerSlot,
)
from db.session import Database
from regraft.contract.status import RequestedAction
from tests.support.jobs import history, job, submit, wait_for
from tests.support.light_trainer import Behaviour
from tests.support.merchants import Merchant
from tests.worker.conftest import opened
from worker.station import Station
from worker.supervisor.supervise import supervise

START = [(None, "queued"), ("queued", "running")]
Submit = Callable[..., str]


@pytest.fixture
def submitted(database: Database, acme: Merchant, dataset: str) -> Submit:
    """A function that queues a job of this behaviour and duration."""

    def queue(behaviour: Behaviour = Behaviour.TRAIN, milliseconds: int = 1) -> str:
        return submit(database, acme.tenant_id, dataset, seed=behaviour, milliseconds=milliseconds)

    return queue


@contextmanager
def supervised(station: Station, job_id: str) -> Iterator[threading.Thread]:
    """Run a job in the background; its end is waited for."""
    thread = threading.Thread(target=supervise, args=(station, job_id))
    thread.start()
    try:
        yield thread
    finally:
        thread.join(30)
        assert not thread.is_alive()


def _wish(database: Database, job_id: str, action: RequestedAction) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(requested_action=action))


def _is_training(database: Database, job_id: str) -> bool:
    return job(database, job_id).progress is not None


def _trainer_pid(station: Station) -> int:
    return station.trainer.take().pid


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _models(database: Database) -> int:
    with database.read() as session:
        return len(session.scalars(select(Model)).all())


def test_a_job_ends_with_a_model(
    database: Database, station: Station, acme: Merchant, submitted: Submit
) -> None:
    """The whole point: what was trained can be downloaded, byte for byte."""
    job_id = submitted(milliseconds=300)
    supervise(station, job_id)
    assert history(database, job_id) == [*START, ("running", "succeeded")]
    with database.read() as session:
        file = session.scalars(select(ModelFile)).one()
        parts = session.scalars(select(FileSegment).order_by(FileSegment.seq)).all()
        steps = session.scalars(select(JobMetric.step).order_by(JobMetric.step)).all()
        assert session.get_one(WorkerSlot, station.slot_id).job_id is None
    read = [
        b"".join(station.blobs.read(part.scope, part.blob_sha256, part.offset, part.length))
        for part in parts
    ]
    assert [part.scope for part in parts] == [acme.tenant_id] * 2
    assert hashlib.sha256(b"".join(read)).hexdigest() == file.sha256
    assert steps == list(range(len(steps)))
    assert len(steps) > 1


def test_a_workspace_that_cannot_be_made_costs_no_life(
    station: Station, submitted: Submit, database: Database
) -> None:
    """A full disk would fail three jobs in a row as if each had killed its worker."""
    work = station.settings.home.resolve() / "work"
    shutil.rmtree(work)
    work.touch()
    job_id = submitted()
    supervise(station, job_id)
    row = job(database, job_id)
    assert (row.status, row.retry_count, row.lost_count) == ("queued", 1, 0)
    work.unlink()
    wait_for(partial(_has_succeeded, station, database, job_id), 15)


def _has_succeeded(station: Station, database: Database, job_id: str) -> bool:
    supervise(station, job_id)
    return job(database, job_id).status == "succeeded"


def test_nothing_is_left_in_the_workspace(
    database: Database, station: Station, light: Settings, submitted: Submit
) -> None:
    """The disk would fill with merchants' images."""
    supervise(station, submitted())
    supervise(station, submitted(Behaviour.DIE))
    assert list((light.home / "work").iterdir()) == []


def test_the_trainer_stays_warm(station: Station, submitted: Submit) -> None:
    """Each job would pay for importing torch and loading the backbone again."""
    pids = []
    for _ in range(3):
        supervise(station, submitted())
        pids.append(_trainer_pid(station))
    assert len(set(pids)) == 1


def test_the_trainer_is_replaced_in_time(light: Settings, submitted: Submit) -> None:
    """Memory that a library leaks would grow until the host dies."""
    with opened(light.model_copy(update={"trainer_max_runs": 1})) as station:
        first = station.trainer.take().pid
        supervise(station, submitted())
        assert not _is_alive(first)


def test_the_trainer_knows_no_secret(
    database: Database, station: Station, submitted: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flaw in an image decoder would hand over every merchant's data."""
    monkeypatch.setenv("REGRAFT_DATABASE_URL", "postgresql://secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    station.trainer.discard()
    supervise(station, submitted(Behaviour.SHOW_ENVIRONMENT))
    with database.read() as session:
        found = session.scalars(select(JobEvent).where(JobEvent.message == "environment")).one()
    assert "PATH" in found.data
    assert "secret" not in str(found.data)
    assert not [name for name in found.data if name.startswith("REGRAFT_") and "URL" in name]


def test_a_dead_trainer_costs_a_loss(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A job would hang until its lease ran out, or be retried for ever."""
    job_id = submitted(Behaviour.DIE)
    for losses in (1, 2, 3):
        supervise(station, job_id)
        assert job(database, job_id).lost_count == losses
    row = job(database, job_id)
    assert (row.status, row.attempt) == ("failed", 3)
    assert row.error is not None
    assert row.error["code"] == "worker_lost"
    assert "SIGKILL" in str(row.error["message"])


def test_a_killed_trainer_is_noticed_at_once(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A job would wait a minute for what takes a moment."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with supervised(station, job_id):
        wait_for(lambda: _is_training(database, job_id))
        began = time.monotonic()
        os.kill(_trainer_pid(station), signal.SIGKILL)
        wait_for(lambda: job(database, job_id).status == "queued")
    assert time.monotonic() - began < 2


def test_a_cancelled_job_ends_politely(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A merchant who changes their mind would pay to the end, or cost the warm trainer."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with supervised(station, job_id):
        wait_for(lambda: _is_training(database, job_id))
        pid = station.trainer.take().pid
        _wish(database, job_id, RequestedAction.CANCEL)
    assert history(database, job_id) == [*START, ("running", "cancelled")]
    assert _is_alive(pid)
    assert _models(database) == 0


def test_a_trainer_that_does_not_listen_is_killed(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A hung trainer would make a job impossible to cancel."""
    job_id = submitted(Behaviour.HANG)
    with supervised(station, job_id):
        wait_for(lambda: job(database, job_id).status == "running")
        pid = _trainer_pid(station)
        _wish(database, job_id, RequestedAction.CANCEL)
    assert job(database, job_id).status == "cancelled"
    assert not _is_alive(pid)


def test_a_stopped_job_keeps_its_model(
    database: Database, station: Station, submitted: Submit
) -> None:
    """`stop` would throw away what it promises to keep."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with supervised(station, job_id):
        wait_for(lambda: _is_training(database, job_id))
        _wish(database, job_id, RequestedAction.STOP)
    assert job(database, job_id).status == "succeeded"
    assert _models(database) == 1


def test_a_paused_job_leaves_its_device(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A pause would keep the device, or cost the warm trainer."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with supervised(station, job_id):
        wait_for(lambda: _is_training(database, job_id))
        pid = _trainer_pid(station)
        _wish(database, job_id, RequestedAction.PAUSE)
    row = job(database, job_id)
    assert (row.status, row.lease_until, row.lost_count) == ("paused", None, 0)
    assert history(database, job_id) == [*START, ("running", "paused")]
    assert _is_alive(pid)
    with database.read() as session:
        assert session.get_one(WorkerSlot, station.slot_id).job_id is None


def test_a_trainer_that_does_not_pause_is_killed(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A hung trainer would make a job impossible to pause."""
    job_id = submitted(Behaviour.HANG)
    with supervised(station, job_id):
        wait_for(lambda: job(database, job_id).status == "running")
        pid = _trainer_pid(station)
        _wish(database, job_id, RequestedAction.PAUSE)
    assert job(database, job_id).status == "paused"
    assert not _is_alive(pid)


def test_a_silent_trainer_is_stalled(
    database: Database, light: Settings, submitted: Submit
) -> None:
    """A trainer that hangs would hold its device for a day."""
    timings = light.timings.model_copy(update={"stall": 0.5})
    impatient = light.model_copy(update={"timings": timings, "max_losses": 1})
    job_id = submitted(Behaviour.HANG)
    with opened(impatient) as station:
        supervise(station, job_id)
    error = job(database, job_id).error
    assert error is not None
    assert error["code"] == "stalled"


def test_a_job_that_ran_too_long_is_failed(
    database: Database, station: Station, submitted: Submit
) -> None:
    """`max_minutes` would be a wish."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(seconds_run=3599))
    supervise(station, job_id)
    error = job(database, job_id).error
    assert error is not None
    assert error["code"] == "deadline_exceeded"


def test_a_lost_lease_stops_the_trainer_and_writes_nothing(
    database: Database, station: Station, submitted: Submit
) -> None:
    """Two workers would train one job, and the slower one would overwrite the faster."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with supervised(station, job_id):
        wait_for(lambda: _is_training(database, job_id))
        pid = _trainer_pid(station)
        with database.write() as session:
            session.execute(update(Job).where(Job.id == job_id).values(lease_until=0))
        wait_for(lambda: reap(database, max_losses=3), 2)
    assert not _is_alive(pid)
    assert history(database, job_id) == [*START, ("running", "queued")]
    with database.read() as session:
        assert session.get_one(WorkerSlot, station.slot_id).job_id is None


def test_a_worker_without_its_database_fences_itself(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A worker cut off from SQL would train on while another has the job."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with supervised(station, job_id):
        wait_for(lambda: _is_training(database, job_id))
        pid = _trainer_pid(station)
        with _locked(database):
            wait_for(lambda: not _is_alive(pid), 6)
    assert job(database, job_id).status == "running"
    assert _models(database) == 0


@contextmanager
def _locked(database: Database) -> Iterator[None]:
    """Keep every writer waiting, as a database does that has stopped answering."""
    with database.write() as session:
        lock = "SELECT 1" if database.is_sqlite else "LOCK TABLE job IN EXCLUSIVE MODE"
        session.execute(text(lock))
        yield


def test_a_draining_worker_gives_its_job_back(
    database: Database, station: Station, submitted: Submit
) -> None:
    """Every deployment would cost the running jobs one of their three lives."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with supervised(station, job_id):
        wait_for(lambda: _is_training(database, job_id))
        station.drain.set()
    row = job(database, job_id)
    assert (row.status, row.lost_count) == ("queued", 0)


def _resume(database: Database, job_id: str) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(status="queued"))


def _steps(database: Database, job_id: str) -> list[int]:
    with database.read() as session:
        found = checkpoints.newest_first(session, job_id)
    return [row.step for row in found]


def _went_on_from(database: Database, job_id: str) -> list[object]:
    """Return the steps that the trainer itself says it went on from."""
    told = (JobEvent.job_id == job_id) & (JobEvent.message == "Resumed.")
    with database.read() as session:
        rows = session.scalars(select(JobEvent).where(told).order_by(JobEvent.seq)).all()
    return [row.data["step"] for row in rows]


@pytest.mark.parametrize("ask", ["pause", "drain"])
def test_what_was_trained_is_not_trained_again(
    database: Database, light: Settings, submitted: Submit, ask: str
) -> None:
    """A pause or a deployment in the ninth hour would cost nine hours."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with opened(light) as station:
        with supervised(station, job_id):
            wait_for(lambda: _steps(database, job_id))
            if ask == "drain":
                station.drain.set()
            else:
                _wish(database, job_id, RequestedAction.PAUSE)
        row = job(database, job_id)
        assert (row.status, row.lost_count) == ("paused" if ask == "pause" else "queued", 0)
    last = _steps(database, job_id)[0]
    with opened(light) as station:
        _resume(database, job_id)
        with supervised(station, job_id):
            wait_for(lambda: _went_on_from(database, job_id))
            _wish(database, job_id, RequestedAction.STOP)
    assert _went_on_from(database, job_id) == [last]
    assert job(database, job_id).status == "succeeded"
    assert _steps(database, job_id) == []


def test_a_killed_trainer_goes_on_from_its_checkpoint(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A job longer than its host lives between two faults would never end."""
    job_id = submitted(Behaviour.DIE_AFTER_CHECKPOINT, 1000)
    for _ in range(8):
        supervise(station, job_id)
        if job(database, job_id).status == "succeeded":
            break
        assert job(database, job_id).lost_count == 1
    row = job(database, job_id)
    assert row.status == "succeeded"
    assert row.attempt >= 3
    went_on = [int(str(step)) for step in _went_on_from(database, job_id)]
    assert went_on == sorted(set(went_on))
    assert len(went_on) == row.attempt - 1


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_is_passed_over(
    database: Database, station: Station, submitted: Submit, damaged: int
) -> None:
    """A rotten disk block would end a job, or end it with a wrong model."""
    job_id = submitted(Behaviour.TRAIN_LONG)
    with supervised(station, job_id):
        wait_for(lambda: len(_steps(database, job_id)) == 2)
        _wish(database, job_id, RequestedAction.PAUSE)
    with database.write() as session:
        found = checkpoints.newest_first(session, job_id)
        for row in found[:damaged]:
            rotten = update(BlobChunk).where(BlobChunk.sha256 == row.sha256)
            session.execute(rotten.values(data=b"rotten"))
    _resume(database, job_id)
    with supervised(station, job_id):
        wait_for(lambda: _is_training(database, job_id))
        _wish(database, job_id, RequestedAction.STOP)
    assert job(database, job_id).status == "succeeded"
    assert _went_on_from(database, job_id) == [row.step for row in found[damaged:]]


def test_a_checkpoint_that_is_not_what_was_said_is_not_kept(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A torn file would replace the last good checkpoint."""
    job_id = submitted(Behaviour.LIE_ABOUT_CHECKPOINT, 600)
    supervise(station, job_id)
    assert job(database, job_id).status == "succeeded"
    with database.read() as session:
        assert session.scalars(select(JobCheckpoint)).all() == []
        told = session.scalars(select(JobEvent.message).where(JobEvent.level == "warn")).all()
    assert any("damaged" in message for message in told)


@pytest.mark.parametrize(
    ("behaviour", "end"),
    [
        (Behaviour.LIE, ("failed", "internal")),
        (Behaviour.FAIL_FOR_NOW, ("queued", None)),
        (Behaviour.RUN_OUT_OF_MEMORY, ("failed", "out_of_memory")),
        (Behaviour.TALK_NONSENSE, ("succeeded", None)),
    ],
)
def test_what_a_trainer_says_is_checked(
    database: Database,
    station: Station,
    submitted: Submit,
    behaviour: Behaviour,
    end: tuple[str, str | None],
) -> None:
    """A merchant would download bytes that nobody trained."""
    job_id = submitted(behaviour)
    supervise(station, job_id)
    row = job(database, job_id)
    assert (row.status, (row.error or {}).get("code")) == end
    assert _models(database) == (row.status == "succeeded")


def test_a_hint_for_nothing_changes_nothing(
    database: Database, station: Station, submitted: Submit
) -> None:
    """A doubled or forged message would start a job twice."""
    job_id = submitted()
    supervise(station, job_id)
    supervise(station, job_id)
    supervise(station, "job_00000000000000000000000000")
    assert history(database, job_id) == [*START, ("running", "succeeded")]


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not applied"])
def test_a_commit_of_unknown_outcome_is_settled(
    database: Database,
    station: Station,
    submitted: Submit,
    monkeypatch: pytest.MonkeyPatch,
    *,
    applied: bool,
) -> None:
    """A connection that breaks in the commit would lose a model, or make it twice."""
    job_id = submitted()
    dialect = station.database.engine.dialect
    commit, roll_back = dialect.do_commit, dialect.do_rollback
    broken: list[str] = []

    def breaking(connection: PoolProxiedConnection) -> None:
        finishing = not broken and _is_finishing(connection)
        roll_back(connection) if finishing and not applied else commit(connection)
        if finishing:
            broken.append(job_id)
            raise OperationalError("COMMIT", {}, Exception("connection lost"))

    monkeypatch.setattr(dialect, "do_commit", breaking)
    supervise(station, job_id)
    assert broken == [job_id]
    assert history(database, job_id) == [*START, ("running", "succeeded")]
    assert _models(database) == 1
    with database.read() as session:
        assert len(session.scalars(select(JobResult)).all()) == 1


def _is_finishing(connection: PoolProxiedConnection) -> bool:
    """Tell whether the transaction that is about to commit has made a result."""
    cursor = connection.cursor()
    cursor.execute("SELECT count(*) FROM job_result")
    row = cursor.fetchone()
    return bool(row and row[0])
