"""Where a job's training stands, to go on from after a pause, a shutdown or a loss.

The newest two count; older ones are dropped, and the sweep takes the bytes of what was dropped.
"""

from typing import NamedTuple

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import events
from db.lifecycle.guard import Held, changed, is_held
from db.models import Job, JobCheckpoint

_KEPT = 2


class NewCheckpoint(NamedTuple):
    """A checkpoint whose blob is stored already: hash and size in bytes."""

    step: int
    epoch: int | None
    sha256: str
    size: int


def keep(session: Session, held: Held, new: NewCheckpoint) -> bool:
    """Make a checkpoint the newest; False, having written nothing, where the fence is stale.

    A job that gets on is no poison: its losses are forgotten.
    """
    if changed(session, update(Job).where(is_held(held)).values(lost_count=0)) == 0:
        return False
    mine = JobCheckpoint.job_id == held.job_id
    same = mine & (JobCheckpoint.fence == held.fence) & (JobCheckpoint.step == new.step)
    changed(session, delete(JobCheckpoint).where(same))
    session.execute(
        insert(JobCheckpoint).values(
            job_id=held.job_id, tenant_id=held.tenant_id, fence=held.fence, **new._asdict()
        )
    )
    for old in newest_first(session, held.job_id)[_KEPT:]:
        one = mine & (JobCheckpoint.fence == old.fence) & (JobCheckpoint.step == old.step)
        changed(session, update(JobCheckpoint).where(one).values(dropped_at=now()))
    events.record(
        session,
        tenant_id=held.tenant_id,
        job_id=held.job_id,
        fence=held.fence,
        level="info",
        type="checkpoint",
        message=f"Checkpoint at step {new.step}.",
        data={"step": new.step, "epoch": new.epoch, "bytes": new.size},
    )
    return True


def newest_first(session: Session, job_id: str) -> list[JobCheckpoint]:
    """Return the checkpoints that count, the one to go on from first."""
    query = select(JobCheckpoint).where(
        JobCheckpoint.job_id == job_id, JobCheckpoint.dropped_at.is_(None)
    )
    order = (JobCheckpoint.fence.desc(), JobCheckpoint.step.desc())
    return list(session.scalars(query.order_by(*order)))
