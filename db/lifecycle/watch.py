"""What must stay small while all is well: how long due jobs wait beside free slots, dead leases."""

from typing import NamedTuple

from sqlalchemy import func, select

from db.base import now
from db.models import Job, Tenant, WorkerSlot
from db.session import Database
from regraft.contract.status import JobStatus


class Sight(NamedTuple):
    """Seconds that the oldest due job has waited beside a free slot; running jobs nobody holds."""

    waited: float
    expired: int


def look(database: Database, *, overdue: float) -> Sight:
    """Return what is seen now; a lease counts as dead `overdue` seconds after its end.

    A tenant with a quota may wait beside free slots, and is left out.
    """
    free = select(WorkerSlot.device_class).where(
        WorkerSlot.job_id.is_(None), WorkerSlot.lease_until >= now()
    )
    oldest = (
        select(now() - func.min(Job.run_after))
        .join(Tenant, Tenant.id == Job.tenant_id)
        .where(Job.status == JobStatus.QUEUED, Job.device_class.in_(free))
        .where(Job.run_after <= now(), Tenant.max_running.is_(None))
    )
    dead = select(func.count()).where(
        Job.status == JobStatus.RUNNING, Job.lease_until < now() - overdue
    )
    with database.read() as session:
        return Sight(session.scalar(oldest) or 0.0, session.scalar(dead) or 0)
