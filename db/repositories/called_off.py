"""Calling an erasure off while nothing is deleted: the dataset and its models are as before."""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.refusals import ConflictError
from db.base import now
from db.lifecycle.guard import changed
from db.models import Dataset, Erasure, Job
from db.repositories import audit, models, steering
from db.repositories.audit import Actor
from db.repositories.erasures import Shown
from db.repositories.models import Behind
from db.repositories.reading import get
from db.repositories.steering import Change
from db.tenancy import scoped
from regraft.contract.registry import AuditAction
from regraft.contract.status import JobStatus

_CANCELLED = Change(JobStatus.CANCELLED, None, "Called off.")
_COUNTED_AT_ONCE = "models"
_TOO_LATE = {
    JobStatus.SUCCEEDED: "The erasure is done: upload the images again where they are wanted.",
    JobStatus.RUNNING: (
        "The erasure runs, and what it deletes cannot be brought back: let it end, and upload "
        "again what is still wanted."
    ),
}
_IN_PART = (
    "A part of the dataset is deleted already: let the erasure end, or ask for it again where it "
    "failed."
)


def call_off(session: Session, tenant_id: str, erasure_id: str, actor: Actor) -> Shown:
    """Call an erasure off; twice changes nothing.

    Raises `NotFoundError`, or `ConflictError` once it runs or something is deleted.
    """
    query = scoped(Erasure, tenant_id).where(Erasure.id == erasure_id).with_for_update()
    erasure = get(session, query, "erasure")
    job = session.get_one(Job, erasure.job_id)
    if erasure.cancelled_at is not None:
        return Shown(erasure, job)
    waits = job.status == JobStatus.QUEUED and not _has_begun(erasure)
    if not waits or not steering.apply(session, job, _CANCELLED):
        session.refresh(job)
        raise ConflictError(_TOO_LATE.get(JobStatus(job.status), _IN_PART))
    _restore(session, erasure, job.spec, actor)
    session.refresh(job)
    return Shown(erasure, job)


def _has_begun(erasure: Erasure) -> bool:
    """Tell whether anything is deleted, by this job or by one before it that failed."""
    return any(count for name, count in erasure.deleted.items() if name != _COUNTED_AT_ONCE)


def _restore(session: Session, erasure: Erasure, spec: dict[str, Any], actor: Actor) -> None:
    """Make the dataset and its models what they were, and note it in the record and the trail."""
    status, reason = spec["before"]
    mine = (Dataset.id == erasure.dataset_id) & (Dataset.status == "deleting")
    changed(session, update(Dataset).where(mine).values(status=status, status_reason=reason))
    buried = [model_id for model_id, names in spec["files"].items() if names is None]
    led_back = [Behind(*one) for one in spec["led_back"]]
    models.unbury(session, erasure.tenant_id, buried, led_back)
    erasure.cancelled_at = session.scalar(select(now()))
    erasure.deleted = {}
    session.flush()
    audit.record(
        session,
        erasure.tenant_id,
        actor,
        AuditAction.ERASURE_CANCELLED,
        erasure.id,
        dataset=erasure.dataset_id,
        name=erasure.dataset_name,
        models=buried,
    )
