"""The one way a job starts: a conditional update that only one worker can win."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from db.base import now
from db.lifecycle import events, shares
from db.lifecycle.guard import Held, changed
from db.models import Job, Tenant, WorkerSlot
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
        & _quota_allows(device_class)
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
    shares.start(session, taken.tenant_id, device_class)
    _tell(session, taken)
    return taken


def _quota_allows(device_class: str) -> ColumnElement[bool]:
    """Hold a late hint to its tenant's quota of running jobs, which dispatch heeds as well."""
    other = aliased(Job)
    running = (
        select(func.count())
        .select_from(other)
        .where(other.tenant_id == Job.tenant_id, other.device_class == device_class)
        .where(other.status == JobStatus.RUNNING)
        .correlate(Job)
        .scalar_subquery()
    )
    full = exists().where(Tenant.id == Job.tenant_id, Tenant.max_running <= running)
    return ~full


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
