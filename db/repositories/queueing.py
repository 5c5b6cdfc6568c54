"""The queue as a merchant sees it: how a job enters it, its place, and the merchant's share.

Of other merchants nothing is shown but totals.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.settings import settings
from db.base import now
from db.lifecycle import events, fairness, shares
from db.models import FairShare, Job, WorkerSlot
from db.row_security import whole_queue
from db.tenancy import scoped
from regraft.contract.status import JobStatus


class Place(NamedTuple):
    """How many jobs start before a queued one, and when it does; None where nobody can tell."""

    jobs_ahead: int
    starts_at: float | None


class Share(NamedTuple):
    """What a tenant gets of a device class; the fields of `QueueShare`."""

    weight: int
    share: float
    max_running: int | None
    device_seconds: float
    running: int
    queued: int
    queued_in_all: int
    devices: int
    why: str


class _Line(NamedTuple):
    """A device class as it is now: standings, queued and running jobs by tenant, live slots."""

    field: fairness.Field
    queued: dict[str, int]
    running: dict[str, int]
    slots: int
    clock: float


def enqueue(session: Session, job: Job) -> Job:
    """Insert a job as queued, with the event that says so; the row is its outbox."""
    session.add(job)
    session.flush()
    events.record(
        session,
        tenant_id=job.tenant_id,
        job_id=job.id,
        fence=0,
        level="info",
        type="status",
        message="Queued.",
        data={"from": None, "to": JobStatus.QUEUED},
    )
    return job


def places(session: Session, tenant_id: str, found: list[Job]) -> dict[str, Place]:
    """Return the place of each of these jobs of one tenant that is queued, by its id."""
    queued = [job for job in found if job.status == JobStatus.QUEUED]
    known: dict[str, Place] = {}
    for device_class in {job.device_class for job in queued}:
        line = _line(session, device_class)
        mine = [job for job in queued if job.device_class == device_class]
        before = _before(session, tenant_id, device_class, [job.id for job in mine])
        known.update({job.id: _place(line, job, before.get(job.id, 0)) for job in mine})
    return known


class Prospect(NamedTuple):
    """Where one more job would stand, and how long jobs of its class take, in seconds."""

    place: Place
    typical_seconds: float


def prospect(session: Session, tenant_id: str, device_class: str) -> Prospect:
    """Return where a tenant's next job would stand, behind those of its own that wait."""
    line = _line(session, device_class, tenant_id)
    job = Job(tenant_id=tenant_id, run_after=line.clock)
    return Prospect(_place(line, job, line.queued.get(tenant_id, 0)), line.field.typical)


def share(session: Session, tenant_id: str, device_class: str) -> Share:
    """Return what a tenant gets of a device class now, and why."""
    line = _line(session, device_class, tenant_id)
    mine = line.field.of(tenant_id)
    present = {tenant_id, *line.queued, *line.running}
    used = session.scalar(
        scoped(FairShare, tenant_id).where(FairShare.device_class == device_class)
    )
    part = mine.weight / sum(line.field.of(name).weight for name in present)
    return Share(
        weight=mine.weight,
        share=round(part, 4),
        max_running=mine.max_running,
        device_seconds=0.0 if used is None else used.device_seconds,
        running=line.running.get(tenant_id, 0),
        queued=line.queued.get(tenant_id, 0),
        queued_in_all=sum(line.queued.values()),
        devices=line.slots,
        why=_why(line, tenant_id, part, len(present)),
    )


def _why(line: _Line, tenant_id: str, part: float, merchants: int) -> str:
    """Say in one sentence what decides about the tenant's next job."""
    running, quota = line.running.get(tenant_id, 0), line.field.of(tenant_id).max_running
    if not line.queued.get(tenant_id):
        return "You have nothing waiting: your next job starts before those of a crowd."
    if line.slots == 0:
        return "No worker runs now: your jobs wait until one does."
    if quota is not None and running >= quota:
        return f"You run {running} jobs at once, all that your quota allows."
    if sum(line.running.values()) < line.slots:
        return "A device is free: your next job starts now."
    if merchants == 1:
        return "Every device runs a job of yours: the next starts when one ends."
    return (
        f"Every device is busy; {merchants} merchants have work, and by weight {part:.0%} of the "
        "device time is yours: whoever used least for its weight goes next."
    )


def _place(line: _Line, job: Job, before: int) -> Place:
    ahead = fairness.place(line.field, line.queued, job.tenant_id, before, job.run_after)
    running, typical = sum(line.running.values()), line.field.typical
    seconds = fairness.seconds_to_wait(ahead, running, line.slots, typical)
    starts_at = None if seconds is None else max(job.run_after, line.clock + seconds)
    return Place(ahead, starts_at)


def _line(session: Session, device_class: str, *tenants: str) -> _Line:
    """Read a device class; everything here is a total or serves the asking tenant's place."""
    with whole_queue(session):
        return _whole_line(session, device_class, *tenants)


def _whole_line(session: Session, device_class: str, *tenants: str) -> _Line:
    queued, running = (
        _by_tenant(session, device_class, status)
        for status in (JobStatus.QUEUED, JobStatus.RUNNING)
    )
    alive = select(func.count(), now()).where(
        WorkerSlot.device_class == device_class, WorkerSlot.lease_until >= now()
    )
    slots, clock = session.execute(alive.select_from(WorkerSlot)).one()
    present = {*tenants, *queued, *running}
    field = shares.field(session, device_class, present, settings().timings.redispatch)
    return _Line(field, queued, running, slots, clock)


def _by_tenant(session: Session, device_class: str, status: JobStatus) -> dict[str, int]:
    # any tenant: how many wait, not whose.
    query = select(Job.tenant_id, func.count()).where(
        Job.device_class == device_class, Job.status == status
    )
    return dict(session.execute(query.group_by(Job.tenant_id)).all())


def _before(
    session: Session, tenant_id: str, device_class: str, ids: Sequence[str]
) -> dict[str, int]:
    """Return how many of a tenant's queued jobs stand before each of these."""
    place = func.row_number().over(order_by=(Job.priority.desc(), Job.id))
    query = scoped(Job, tenant_id).where(
        Job.device_class == device_class, Job.status == JobStatus.QUEUED
    )
    ranked = query.with_only_columns(Job.id, (place - 1).label("before")).subquery()
    rows = session.execute(select(ranked).where(ranked.c.id.in_(ids)))
    return {row.id: row.before for row in rows}
