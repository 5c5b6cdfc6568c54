"""Which checkpoints count, for how long, and what becomes of their bytes."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.base import now
from db.blobs import SqlBlobStore
from db.lifecycle import checkpoints, finish, requeue
from db.lifecycle.checkpoints import NewCheckpoint
from db.lifecycle.claim import Claim
from db.lifecycle.sweep import sweep
from db.models import Blob, BlobChunk, Job, JobCheckpoint
from db.repositories import jobs
from db.session import Database
from tests.db.lifecycle.conftest import Take
from tests.db.lifecycle.test_moves import ERROR, TRAINED
from tests.support.jobs import job, submit
from tests.support.merchants import Merchant


def _keep(database: Database, held: Claim, step: int, data: bytes | None = None) -> bool:
    blob = SqlBlobStore(database).put_bytes(held.tenant_id, data or b"weights %d" % step)
    new = NewCheckpoint(step, None, blob.sha256, blob.size)
    with database.write() as session:
        return checkpoints.keep(session, held, new)


def _steps(database: Database, job_id: str) -> list[int]:
    with database.read() as session:
        return [row.step for row in checkpoints.newest_first(session, job_id)]


def test_the_newest_two_count(database: Database, queued: str, take: Take) -> None:
    """The disk would fill, or one damaged file would cost everything."""
    held = take(queued)
    for step in (10, 20, 30, 30):
        assert _keep(database, held, step)
    assert _steps(database, queued) == [30, 20]
    with database.write() as session:
        requeue.release(session, held)
    # An attempt that had to start anew is behind in steps, but it is the one that counts.
    assert _keep(database, take(queued), 5)
    assert _steps(database, queued) == [5, 30]


def test_a_stale_fence_keeps_nothing(database: Database, queued: str, take: Take) -> None:
    """A worker that woke up late would set the job back to where it fell asleep."""
    held = take(queued)
    with database.write() as session:
        requeue.release(session, held)
    assert not _keep(database, held, 10)
    assert _steps(database, queued) == []


def test_a_checkpoint_forgives_losses(database: Database, queued: str, take: Take) -> None:
    """A job of three days would die of three faults that it survived."""
    with database.write() as session:
        session.execute(update(Job).where(Job.id == queued).values(lost_count=2))
    assert _keep(database, take(queued), 10)
    assert job(database, queued).lost_count == 0


_ENDS: dict[str, tuple[Callable[[Claim], Callable[[Session], object]], bool]] = {
    "success": (lambda held: partial(finish.succeed_training, claim=held, trained=TRAINED), False),
    "cancel": (lambda held: partial(finish.cancel, held=held), False),
    "failure": (lambda held: partial(finish.fail, held=held, error=ERROR), False),
    "pause": (lambda held: partial(requeue.pause, held=held), True),
    "release": (lambda held: partial(requeue.release, held=held), True),
}


@pytest.mark.parametrize("end", _ENDS)
def test_checkpoints_last_while_they_can_be_used(
    database: Database, queued: str, take: Take, end: str
) -> None:
    """A paused job would have lost its progress, or a finished one would hold its gigabytes."""
    held = take(queued)
    _keep(database, held, 10)
    move, lasts = _ENDS[end]
    with database.write() as session:
        move(held)(session)
    assert _steps(database, queued) == ([10] if lasts else [])


def test_cancelling_a_paused_job_drops_its_checkpoints(
    database: Database, acme: Merchant, queued: str, take: Take
) -> None:
    """The bytes of a job that nobody wants would stay for ever."""
    held = take(queued)
    _keep(database, held, 10)
    with database.write() as session:
        requeue.pause(session, held)
        jobs.cancel(session, acme.tenant_id, queued)
    assert _steps(database, queued) == []


def test_the_sweep_takes_bytes_that_nothing_consists_of(
    database: Database, acme: Merchant, dataset: str, queued: str, take: Take
) -> None:
    """A checkpoint shared with a job that goes on would vanish under it."""
    held, other = take(queued), take(submit(database, acme.tenant_id, dataset))
    _keep(database, held, 10, b"only mine")
    _keep(database, held, 20, b"shared")
    _keep(database, other, 20, b"shared")
    with database.write() as session:
        finish.cancel(session, held)
    assert sweep(database)["checkpoints"] == 0
    with database.write() as session:
        session.execute(
            update(JobCheckpoint)
            .where(JobCheckpoint.dropped_at.is_not(None))
            .values(dropped_at=now() - 61)
        )
    assert sweep(database)["checkpoints"] == 2
    with database.read() as session:
        left = session.scalars(select(BlobChunk.data)).all()
        rows = session.scalars(select(Blob.sha256)).all()
    assert b"only mine" not in left
    assert b"shared" in left
    assert len(rows) == len(left)
    assert _steps(database, other.job_id) == [20]
