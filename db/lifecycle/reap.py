"""The reaper: jobs whose lease ran out go back to the queue, whatever became of their worker."""

from typing import NamedTuple

from sqlalchemy import select

from db.base import now
from db.lifecycle import requeue
from db.lifecycle.guard import Held
from db.models import Job
from db.session import Database
from regraft.contract.errors import ErrorCode, JobError
from regraft.contract.status import JobKind, JobStatus

_AT_ONCE = 100
_LOST = "The worker stopped answering."


class Reaped(NamedTuple):
    """A job that was taken from a silent worker, and where it went."""

    job_id: str
    to: JobStatus


def reap(database: Database, *, max_losses: int) -> list[Reaped]:
    """Take every job whose lease has expired; each in a transaction of its own."""
    with database.read() as session:
        query = select(
            Job.id, Job.tenant_id, Job.kind, Job.dataset_id, Job.fence, Job.attempt
        ).where(Job.status == JobStatus.RUNNING, Job.lease_until < now())
        rows = session.execute(query.order_by(Job.lease_until).limit(_AT_ONCE)).all()
    reaped = []
    for row in rows:
        held = Held(row.id, row.tenant_id, JobKind(row.kind), row.dataset_id, *row[4:])
        to = _reap_one(database, held, max_losses)
        if to is not None:
            reaped.append(Reaped(held.job_id, to))
    return reaped


def _reap_one(database: Database, held: Held, max_losses: int) -> JobStatus | None:
    """Take one job, unless its worker renewed or ended it in the meantime."""
    error = JobError.of(ErrorCode.WORKER_LOST, _LOST)
    with database.write() as session:
        return requeue.lose(session, held, error, max_losses=max_losses, expired=True)
