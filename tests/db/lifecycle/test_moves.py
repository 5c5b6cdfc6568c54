"""Every move of a job row, taken alone, on both databases."""

import threading
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import finish, heartbeat, requeue, slots
from db.lifecycle.claim import Claim, claim
from db.lifecycle.finish import CheckedImage, Ingested, NewFile, Range, Trained
from db.lifecycle.heartbeat import Note, Report
from db.lifecycle.reap import reap
from db.models import (
    Dataset,
    FileSegment,
    Image,
    Job,
    JobEvent,
    JobMetric,
    JobResult,
    Model,
    ModelFile,
    WorkerSlot,
)
from db.session import Database
from regraft.contract.errors import ErrorCode, JobError
from regraft.contract.resources import ClassCount, Warn
from regraft.contract.status import JobStatus, RequestedAction
from regraft.contract.verdict import Verdict
from regraft.contract.version import __version__
from tests.db.lifecycle.conftest import Take
from tests.support.jobs import history, job, picture, submit, upload
from tests.support.merchants import Merchant

ERROR = JobError.of(ErrorCode.WORKER_LOST, "The worker stopped answering.")
TRAINED = Trained(
    backbone="efficientnet_lite0",
    strategy="linear_probe",
    labels=["mug", "plate"],
    metrics={"validation": None},
    transfer={"explanation": "It helped."},
    lineage={"seed": 7},
    num_images=2,
    files=[NewFile("model.onnx", 5, "f" * 64, [Range("shared", "a" * 64, 0, 5)])],
)
START = [(None, "queued"), ("queued", "running")]


def _wish(database: Database, job_id: str, action: RequestedAction) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(requested_action=action))


def _do(database: Database, move: Callable[[Session], object]) -> object:
    with database.write() as session:
        return move(session)


def _count(database: Database, table: type[Model | ModelFile | JobResult | Image]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_claim_starts_the_job(database: Database, queued: str, take: Take, slot: str) -> None:
    """A job would show as waiting while a worker burns its minutes."""
    taken = take(queued)
    row = job(database, queued)
    assert (row.status, row.attempt, row.fence, row.owner) == ("running", 1, 1, slot)
    assert (taken.fence, taken.seconds_before, taken.register_as) == (1, 0.0, "mugs")
    assert row.started_at == pytest.approx(row.claimed_at, abs=0.01)
    with database.read() as session:
        assert session.get_one(WorkerSlot, slot).job_id == queued
    assert history(database, queued) == START


def test_only_one_claim_wins(database: Database, queued: str, slot: str) -> None:
    """A doubled message would train the same job twice and bill it twice."""
    won: list[Claim | None] = []
    barrier = threading.Barrier(4)

    def race() -> None:
        barrier.wait()
        take = partial(claim, job_id=queued, slot_id=slot, device_class="cpu", lease=60)
        with database.write() as session:
            won.append(take(session))

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 4
    assert sum(taken is not None for taken in won) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"status": JobStatus.PAUSED},
        {"requested_action": RequestedAction.CANCEL},
        {"run_after": now() + 60},
        {"device_class": "cuda"},
    ],
    ids=["paused", "cancel wished", "not due", "another device"],
)
def test_a_job_that_is_not_to_start_is_not_claimed(
    database: Database, queued: str, slot: str, values: dict[str, object]
) -> None:
    """A forged or late message would start what must not run here and now."""
    with database.write() as session:
        session.execute(update(Job).where(Job.id == queued).values(values))
        taken = claim(session, queued, slot_id=slot, device_class="cpu", lease=60)
    assert taken is None
    assert history(database, queued) == START[:1]


def test_a_beat_renews_and_writes_what_was_reported(
    database: Database, queued: str, take: Take
) -> None:
    """The merchant would watch a bar that never moves, and the job would be taken away."""
    taken = take(queued, lease=-1)
    report = Report(
        progress={"phase": "training", "fraction": 0.5},
        notes=[Note("warn", "Odd labels.", {"count": 3})],
        metrics={("loss", 1): 0.5, ("loss", 2): 0.25},
    )
    with database.write() as session:
        beat = heartbeat.beat(session, taken, report, lease=60)
    assert beat == (None,)
    with database.write() as session:
        heartbeat.beat(session, taken, Report(metrics={("loss", 2): 0.125}), lease=60)
    assert reap(database, max_losses=3) == []
    assert job(database, queued).progress == {"phase": "training", "fraction": 0.5}
    with database.read() as session:
        values = session.scalars(select(JobMetric.value).order_by(JobMetric.step)).all()
        note = session.scalars(select(JobEvent).where(JobEvent.type == "message")).one()
    assert values == [0.5, 0.125]
    assert (note.level, note.message, note.data, note.fence) == (
        "warn",
        "Odd labels.",
        {"count": 3},
        1,
    )


def test_a_beat_brings_the_wish(database: Database, queued: str, take: Take) -> None:
    """A merchant who cancels would pay until the training ends by itself."""
    taken = take(queued)
    _wish(database, queued, RequestedAction.CANCEL)
    with database.write() as session:
        assert heartbeat.beat(session, taken, Report(), lease=60) == (RequestedAction.CANCEL,)


def test_a_model_names_its_origin(database: Database, queued: str, take: Take) -> None:
    """Nobody could tell later which photos, which job or which code a model came from."""
    taken = take(queued)
    assert _do(database, lambda session: finish.succeed_training(session, taken, TRAINED))
    with database.read() as session:
        lineage = session.scalars(select(Model)).one().lineage
        dataset = session.get_one(Dataset, taken.dataset_id)
    assert (lineage["seed"], lineage["job"], lineage["attempt"]) == (7, queued, 1)
    assert lineage["code_version"] == __version__
    named = {"id": dataset.id, "name": dataset.name, "version": 1, "sha256": dataset.source_sha256}
    assert lineage["datasets"] == [named]


def test_a_training_succeeds_as_a_whole(
    database: Database, queued: str, take: Take, slot: str
) -> None:
    """A job without its model, or a model without its files, is a download that fails."""
    taken = take(queued)
    assert _do(database, lambda session: finish.succeed_training(session, taken, TRAINED))
    with database.read() as session:
        model = session.scalars(select(Model)).one()
        file = session.scalars(select(ModelFile)).one()
        part = session.scalars(select(FileSegment)).one()
        result = session.scalars(select(JobResult)).one()
        assert session.get_one(WorkerSlot, slot).job_id is None
    row = job(database, queued)
    assert (row.status, row.owner, row.lease_until) == ("succeeded", None, None)
    assert row.finished_at is not None
    assert row.seconds_run > 0
    assert (model.name, model.version, model.labels) == ("mugs", 1, ["mug", "plate"])
    assert (file.model_id, file.size) == (model.id, 5)
    assert (part.scope, part.offset, part.length) == ("shared", 0, 5)
    assert (result.model_id, result.fence) == (model.id, 1)
    assert result.usage == {"device_seconds": row.seconds_run, "num_images": 2}
    assert history(database, queued) == [*START, ("running", "succeeded")]


def test_versions_count_up_when_jobs_end_together(
    database: Database, acme: Merchant, zenith: Merchant, dataset: str, take: Take
) -> None:
    """Two jobs under one name would lose a model to the other's version number."""
    claims = [take(submit(database, acme.tenant_id, dataset)) for _ in range(4)]
    barrier = threading.Barrier(4)

    def end(taken: Claim) -> None:
        barrier.wait()
        _do(database, lambda session: finish.succeed_training(session, taken, TRAINED))

    threads = [threading.Thread(target=end, args=(taken,)) for taken in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        versions = session.scalars(select(Model.version).order_by(Model.version)).all()
    assert versions == [1, 2, 3, 4]


def test_an_ingest_succeeds_as_a_whole(database: Database, acme: Merchant, slot: str) -> None:
    """A dataset that says `ready` without its images trains on nothing."""
    dataset_id, job_id = upload(database, acme.tenant_id, {"mug/1.png": picture(1)})
    with database.write() as session:
        taken = claim(session, job_id, slot_id=slot, device_class="ingest", lease=60)
    assert taken is not None
    hashes = ("a" * 64, "b" * 64, "c" * 64)
    image = CheckedImage("mug/1.png", "mug", "set", "train", Verdict.OK, None, *hashes, 16, 16)
    ingested = Ingested(
        status="ready",
        reason=None,
        num_images=1,
        num_rejected=0,
        num_unlabelled=0,
        classes=[ClassCount(name="mug", num_images=1)],
        warnings=[Warn(code="few", message="Few images.")],
        images=[image] * 2500,
    )
    assert _do(database, lambda session: finish.succeed_ingest(session, taken, ingested))
    with database.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
        seqs = session.scalars(select(Image.seq).order_by(Image.seq)).all()
        first = session.scalars(select(Image).where(Image.seq == 0)).one()
    assert (dataset.status, dataset.classes) == ("ready", [{"name": "mug", "num_images": 1}])
    assert dataset.warnings == [{"code": "few", "message": "Few images."}]
    assert seqs == list(range(2500))
    assert (first.product_group, first.split, first.verdict) == ("set", "train", "ok")
    assert _count(database, JobResult) == 1


def test_a_failure_is_told(database: Database, queued: str, take: Take) -> None:
    """A job that failed without a reason leaves its merchant guessing."""
    taken = take(queued)
    error = JobError.of(ErrorCode.TOO_FEW_IMAGES, "One class is empty.", "dataset")
    assert _do(database, lambda session: finish.fail(session, taken, error))
    row = job(database, queued)
    assert (row.status, row.status_reason) == ("failed", "One class is empty.")
    assert JobError.model_validate(row.error) == error
    assert history(database, queued) == [*START, ("running", "failed")]


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_an_ingest_that_ends_without_a_result_gives_its_dataset_up(
    database: Database, acme: Merchant, slot: str, end: str
) -> None:
    """A dataset would be `processing` for ever."""
    dataset_id, job_id = upload(database, acme.tenant_id, {"mug/1.png": picture(1)})
    with database.write() as session:
        taken = claim(session, job_id, slot_id=slot, device_class="ingest", lease=60)
        assert taken is not None
        assert (
            finish.cancel(session, taken) if end == "cancel" else finish.fail(session, taken, ERROR)
        )
    with database.read() as session:
        dataset = session.get_one(Dataset, dataset_id)
    assert dataset.status == "invalid"
    assert dataset.status_reason


def test_a_release_counts_nothing(database: Database, queued: str, take: Take, slot: str) -> None:
    """Three deployments in an hour would fail an innocent job as lost."""
    taken = take(queued)
    assert _do(database, lambda session: requeue.release(session, taken)) is JobStatus.QUEUED
    row = job(database, queued)
    assert (row.status, row.lost_count, row.retry_count, row.dispatched_at) == (
        "queued",
        0,
        0,
        None,
    )
    assert take(queued).attempt == 2
    assert history(database, queued) == [*START, ("running", "queued"), ("queued", "running")]


def test_retries_wait_longer_and_end(database: Database, queued: str, take: Take) -> None:
    """A disk that stays full would keep a job running for ever."""
    waits = []
    for _ in range(3):
        taken = take(queued)
        move = partial(requeue.retry, held=taken, message="The disk is full.", max_retries=3)
        assert _do(database, move) is JobStatus.QUEUED
        with database.write() as session:
            waits.append(session.scalar(select(Job.run_after - now()).where(Job.id == queued)))
            session.execute(update(Job).where(Job.id == queued).values(run_after=now()))
    taken = take(queued)
    move = partial(requeue.retry, held=taken, message="The disk is full.", max_retries=3)
    assert _do(database, move) is JobStatus.FAILED
    assert [round(wait or 0) for wait in waits] == [2, 8, 32]
    assert "The disk is full." in str(job(database, queued).error)


def test_the_reaper_takes_jobs_from_silent_workers(
    database: Database, queued: str, take: Take, slot: str
) -> None:
    """A job whose worker lost power would be `running` until somebody looks."""
    for losses in (1, 2):
        take(queued, lease=-1)
        assert reap(database, max_losses=3) == [(queued, JobStatus.QUEUED)]
        row = job(database, queued)
        assert (row.lost_count, row.dispatched_at) == (losses, None)
    take(queued, lease=-1)
    assert reap(database, max_losses=3) == [(queued, JobStatus.FAILED)]
    row = job(database, queued)
    assert row.error is not None
    assert row.error["code"] == "worker_lost"
    with database.read() as session:
        assert session.get_one(WorkerSlot, slot).job_id is None


def test_the_reaper_leaves_live_jobs_alone(database: Database, queued: str, take: Take) -> None:
    """A training of two hours would start again every five seconds."""
    take(queued, lease=60)
    assert reap(database, max_losses=3) == []


def test_time_after_the_lease_is_not_charged(database: Database, queued: str, take: Take) -> None:
    """A merchant would pay for the hour in which a dead worker did nothing."""
    take(queued)
    with database.write() as session:
        long_ago = {"claimed_at": now() - 1000, "lease_until": now() - 900}
        session.execute(update(Job).where(Job.id == queued).values(long_ago))
    reap(database, max_losses=3)
    assert round(job(database, queued).seconds_run) == 100


@pytest.mark.parametrize("how", ["release", "retry", "lose", "reap"])
def test_a_wish_to_cancel_wins_over_the_way_back(
    database: Database, queued: str, take: Take, how: str
) -> None:
    """A job that its merchant cancelled would rise again after a deployment."""
    taken = take(queued, lease=-1)
    _wish(database, queued, RequestedAction.CANCEL)
    if how == "reap":
        reap(database, max_losses=3)
    else:
        _do(database, _WAYS_BACK[how](taken))
    assert history(database, queued) == [*START, ("running", "cancelled")]


@pytest.mark.parametrize("how", ["release", "retry", "lose", "reap"])
def test_a_job_runs_no_longer_than_it_may_over_all_attempts(
    database: Database, queued: str, take: Take, how: str
) -> None:
    """`max_minutes` would start anew with each attempt."""
    taken = take(queued, lease=-1)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == queued).values(seconds_run=3601))
    if how == "reap":
        reap(database, max_losses=3)
    else:
        _do(database, _WAYS_BACK[how](taken))
    error = job(database, queued).error
    assert error is not None
    assert (error["code"], error["param"]) == ("deadline_exceeded", "limits.max_minutes")


_WAYS_BACK: dict[str, Callable[[Claim], Callable[[Session], object]]] = {
    "release": lambda taken: partial(requeue.release, held=taken),
    "retry": lambda taken: partial(requeue.retry, held=taken, message="Busy.", max_retries=3),
    "lose": lambda taken: partial(requeue.lose, held=taken, error=ERROR, max_losses=3),
}
_FENCED: dict[str, Callable[[Claim], Callable[[Session], object]]] = {
    **_WAYS_BACK,
    "beat": lambda taken: partial(
        heartbeat.beat, held=taken, report=Report(notes=[Note("info", "x", {})]), lease=60
    ),
    "succeed": lambda taken: partial(finish.succeed_training, claim=taken, trained=TRAINED),
    "fail": lambda taken: partial(finish.fail, held=taken, error=ERROR),
    "cancel": lambda taken: partial(finish.cancel, held=taken),
}


@pytest.mark.parametrize("move", _FENCED)
def test_a_stale_fence_writes_nothing(
    database: Database, queued: str, take: Take, move: str
) -> None:
    """A worker that wakes after a pause would overwrite what the next one made."""
    stale = take(queued, lease=-1)
    reap(database, max_losses=3)
    take(queued)
    before = (vars(job(database, queued)), history(database, queued))
    assert not _do(database, _FENCED[move](stale))
    after = (vars(job(database, queued)), history(database, queued))
    before[0].pop("_sa_instance_state")
    after[0].pop("_sa_instance_state")
    assert before == after
    assert (_count(database, Model), _count(database, JobResult)) == (0, 0)


def test_slots_come_and_go(database: Database, slot: str) -> None:
    """Hints would be sent to workers that died last week."""
    with database.write() as session:
        slots.register(session, slot, device_class="cpu", lease=60)
        assert slots.expire(session) == 0
        slots.register(session, slot, device_class="cpu", lease=-1)
        assert slots.expire(session) == 1
        slots.register(session, slot, device_class="cpu", lease=60)
        slots.remove(session, slot)
        assert session.scalars(select(WorkerSlot)).all() == []


@pytest.mark.parametrize("move", ["pause", "release", "retry", "lose"])
def test_a_wish_to_pause_outlives_its_worker(
    database: Database, queued: str, take: Take, move: str
) -> None:
    """A job paused in the moment that its worker dies would start again on another."""
    held = take(queued)
    moves: dict[str, Callable[[Session], object]] = {
        "pause": partial(requeue.pause, held=held),
        "release": partial(requeue.release, held=held),
        "retry": partial(requeue.retry, held=held, message="Busy.", max_retries=3),
        "lose": partial(requeue.lose, held=held, error=ERROR, max_losses=3),
    }
    _wish(database, queued, RequestedAction.PAUSE)
    assert _do(database, moves[move]) is JobStatus.PAUSED
    row = job(database, queued)
    assert (row.status, row.lease_until, row.owner, row.requested_action) == (
        *("paused", None, None, None),
    )
    assert history(database, queued)[-1] == ("running", "paused")


def test_a_wish_to_stop_outlives_its_worker(database: Database, queued: str, take: Take) -> None:
    """A job told to stop would train to its end after all, at the merchant's cost."""
    held = take(queued)
    _wish(database, queued, RequestedAction.STOP)
    assert _do(database, partial(requeue.release, held=held)) is JobStatus.QUEUED
    assert job(database, queued).requested_action == "stop"
    take(queued)
    assert job(database, queued).requested_action == "stop"
