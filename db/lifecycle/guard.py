"""Who may write about a running job: the holder of its fence, and nobody else.

Every move out of `running` goes through `leave`: a guarded update, its row count, its event.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import events, outbox, shares
from db.models import BatchPart, Dataset, Job, JobCheckpoint, WorkerSlot
from regraft.contract.status import TERMINAL, EventLevel, JobKind, JobStatus


@dataclass(frozen=True)
class Held:
    """A running job as one holder knows it; `fence` proves that the holder is the newest."""

    job_id: str
    tenant_id: str
    kind: JobKind
    dataset_id: str
    fence: int
    attempt: int


class Whereabouts(NamedTuple):
    """The status of a job and the fence it was reached under."""

    status: JobStatus
    fence: int


def whereabouts(session: Session, job_id: str) -> Whereabouts | None:
    """Return where a job is now; None where there is no such job."""
    row = session.execute(select(Job.status, Job.fence).where(Job.id == job_id)).one_or_none()
    return None if row is None else Whereabouts(JobStatus(row.status), row.fence)


def is_held(held: Held) -> ColumnElement[bool]:
    """Return the guard of every write: this job, this fence, still running."""
    return and_(Job.id == held.job_id, Job.fence == held.fence, Job.status == JobStatus.RUNNING)


def changed(session: Session, statement: Any) -> int:
    """Execute an update or a delete and return how many rows it changed."""
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount


def leave(
    session: Session,
    held: Held,
    to: JobStatus,
    message: str,
    *,
    level: EventLevel = "info",
    data: dict[str, object] | None = None,
    **values: Any,
) -> bool:
    """Move a held job from `running` to `to`; return False, having written nothing, if stale."""
    fixed: dict[str, Any] = {
        "status": to,
        "owner": None,
        "lease_until": None,
        "dispatched_at": None,
        "requested_action": None,
        "seconds_run": Job.seconds_run + now() - Job.claimed_at,
        "finished_at": now() if to in TERMINAL else None,
    }
    before = session.scalar(select(Job.seconds_run).where(is_held(held)))
    row = session.execute(
        update(Job)
        .where(is_held(held))
        .values({**fixed, **values})
        .returning(Job.device_class, Job.seconds_run),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if row is None or before is None:
        return False
    used, succeeded = row.seconds_run - before, to is JobStatus.SUCCEEDED
    shares.charge(session, held.tenant_id, row.device_class, used, typical=succeeded)
    changed(session, update(WorkerSlot).where(WorkerSlot.job_id == held.job_id).values(job_id=None))
    if to in TERMINAL:
        drop_checkpoints(session, held.job_id)
    if to in TERMINAL - {JobStatus.SUCCEEDED}:
        drop_parts(session, held.job_id)
    if held.kind is JobKind.INGEST and to in TERMINAL - {JobStatus.SUCCEEDED}:
        _give_up_dataset(session, held, message)
    events.record(
        session,
        tenant_id=held.tenant_id,
        job_id=held.job_id,
        fence=held.fence,
        level=level,
        type="status",
        message=message,
        data={"from": JobStatus.RUNNING, "to": to, "attempt": held.attempt, **(data or {})},
    )
    return True


def drop_checkpoints(session: Session, job_id: str) -> None:
    """Leave the checkpoints of a job that will never go on to the sweep."""
    mine = (JobCheckpoint.job_id == job_id) & JobCheckpoint.dropped_at.is_(None)
    changed(session, update(JobCheckpoint).where(mine).values(dropped_at=now()))


def drop_parts(session: Session, job_id: str) -> None:
    """Leave what a batch answered, which will never be whole, to the sweep."""
    changed(session, delete(BatchPart).where(BatchPart.job_id == job_id))


def _give_up_dataset(session: Session, held: Held, reason: str) -> None:
    """A dataset whose checking ended without a result must not look as if it went on."""
    processing = (Dataset.id == held.dataset_id) & (Dataset.status == "processing")
    given_up = update(Dataset).where(processing).values(status="invalid", status_reason=reason)
    if changed(session, given_up):
        outbox.dataset_moved(session, held.tenant_id, held.dataset_id, "invalid")
