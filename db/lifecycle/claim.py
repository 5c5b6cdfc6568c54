"""The one way a job starts: a conditional update that only one worker can win."""

from dataclasses import dataclass

from sqlalchemy import func, or_, update
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import events
from db.lifecycle.guard import Held, changed
from db.models import Job, WorkerSlot
from regraft.contract.status import JobKind, JobStatus, RequestedAction


@dataclass(frozen=True)
class Claim(Held):
    """A job as its supervisor took it; `seconds_before` is what earlier attempts ran."""

    slot_id: str
    name: str | None
    register_as: str | None
    spec: dict[str, object]
    user_metadata: dict[str, str]
    seconds_before: float


def claim(
    session: Session, job_id: str, *, slot_id: str, device_class: str, lease: float
) -> Claim | None:
    """Take a queued job that is due, for `lease` seconds; None if it is not there to take."""
    due = (
        (Job.id == job_id)
        & (Job.status == JobStatus.QUEUED)
        & (Job.device_class == device_class)
        & (Job.run_after <= now())
        & or_(Job.requested_action.is_(None), Job.requested_action != RequestedAction.CANCEL)
    )
    row = session.execute(
        update(Job)
        .where(due)
        .values(
            status=JobStatus.RUNNING,
            status_reason=None,
            attempt=Job.attempt + 1,
            fence=Job.fence + 1,
            owner=slot_id,
            lease_until=now() + lease,
            claimed_at=now(),
            started_at=func.coalesce(Job.started_at, now()),
            progress=None,
        )
        .returning(*_TAKEN),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if row is None:
        return None
    taken = Claim(slot_id=slot_id, **{**row._mapping, "kind": JobKind(row.kind)})  # noqa: SLF001
    changed(session, update(WorkerSlot).where(WorkerSlot.id == slot_id).values(job_id=job_id))
    _tell(session, taken)
    return taken


_TAKEN = (
    Job.id.label("job_id"),
    Job.tenant_id,
    Job.kind,
    Job.dataset_id,
    Job.fence,
    Job.attempt,
    Job.name,
    Job.register_as,
    Job.spec,
    Job.user_metadata.label("user_metadata"),
    Job.seconds_run.label("seconds_before"),
)


def _tell(session: Session, taken: Claim) -> None:
    first = taken.attempt == 1
    events.record(
        session,
        tenant_id=taken.tenant_id,
        job_id=taken.job_id,
        fence=taken.fence,
        level="info",
        type="status",
        message="Started." if first else f"Started again: attempt {taken.attempt}.",
        data={"from": JobStatus.QUEUED, "to": JobStatus.RUNNING, "attempt": taken.attempt},
    )
