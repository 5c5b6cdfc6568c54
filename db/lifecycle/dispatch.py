"""Dispatch: which queued jobs get a hint next, so that no merchant waits behind another's crowd.

A hint is marked and committed before it is published, and unmarked where publishing failed;
a mark older than `redispatch` counts as a hint that was lost.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, func, or_, select, update
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import shares
from db.lifecycle.fairness import Waiting, fair_order
from db.lifecycle.guard import changed
from db.models import Job, WorkerSlot
from db.session import Database
from regraft.contract.status import JobStatus

HINTS_PER_SLOT = 2


class Hint(NamedTuple):
    """A job to tell the workers of: marked at `dispatched_at`, on the database's clock."""

    job_id: str
    device_class: str
    dispatched_at: float


def mark(database: Database, *, redispatch: float) -> list[Hint]:
    """Choose jobs for the free slots of every device class, mark them, and return their hints."""
    with database.read() as session:
        chosen = _choose(session, redispatch)
    if not chosen:
        return []
    with database.write() as session:
        return [
            hint for job_id in chosen if (hint := _mark(session, job_id, redispatch)) is not None
        ]


def unmark(session: Session, hints: Sequence[Hint]) -> None:
    """Take back hints that could not be published, unless somebody marked them again."""
    for hint in hints:
        mine = (Job.id == hint.job_id) & (Job.dispatched_at == hint.dispatched_at)
        queued = Job.status == JobStatus.QUEUED
        changed(session, update(Job).where(mine & queued).values(dispatched_at=None))


def _choose(session: Session, redispatch: float) -> list[str]:
    chosen: list[str] = []
    for device_class, room in _room(session, redispatch).items():
        waiting = [
            Waiting(row.id, row.tenant_id, row.priority, row.run_after)
            for row in session.execute(_due(device_class, room, redispatch))
        ]
        if waiting:
            tenants = {job.tenant_id for job in waiting}
            field = shares.field(session, device_class, tenants, redispatch)
            chosen += [job.job_id for job in fair_order(waiting, field, room)]
    return chosen


def _room(session: Session, redispatch: float) -> dict[str, int]:
    """Return how many more hints each device class with a free slot can take."""
    free = _counts(
        session,
        select(WorkerSlot.device_class, func.count())
        .where(WorkerSlot.job_id.is_(None), WorkerSlot.lease_until >= now())
        .group_by(WorkerSlot.device_class),
    )
    if not free:
        return {}
    outstanding = _counts(
        session,
        select(Job.device_class, func.count())
        .where(Job.status == JobStatus.QUEUED, Job.dispatched_at >= now() - redispatch)
        .group_by(Job.device_class),
    )
    room = {name: HINTS_PER_SLOT * count - outstanding.get(name, 0) for name, count in free.items()}
    return {name: count for name, count in room.items() if count > 0}


def _unmarked(redispatch: float) -> ColumnElement[bool]:
    return or_(Job.dispatched_at.is_(None), Job.dispatched_at < now() - redispatch)


def _due(device_class: str, room: int, redispatch: float) -> Select[str, str, int, float]:
    """Return a query of each tenant's first `room` jobs, so that a crowd of one hides nobody."""
    place = func.row_number().over(
        partition_by=Job.tenant_id, order_by=(Job.priority.desc(), Job.id)
    )
    ranked = (
        select(Job.id, Job.tenant_id, Job.priority, Job.run_after, place.label("place"))
        .where(
            Job.status == JobStatus.QUEUED,
            Job.device_class == device_class,
            Job.run_after <= now(),
            _unmarked(redispatch),
        )
        .subquery()
    )
    found = select(ranked.c.id, ranked.c.tenant_id, ranked.c.priority, ranked.c.run_after)
    return found.where(ranked.c.place <= room)


def _counts(session: Session, query: Select[str, int]) -> dict[str, int]:
    return {row[0]: row[1] for row in session.execute(query)}


def _mark(session: Session, job_id: str, redispatch: float) -> Hint | None:
    """Mark one job, unless another dispatcher or a worker was faster."""
    free = (Job.id == job_id) & (Job.status == JobStatus.QUEUED) & _unmarked(redispatch)
    row = session.execute(
        update(Job)
        .where(free)
        .values(dispatched_at=now())
        .returning(Job.id, Job.device_class, Job.dispatched_at.label("marked")),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    return None if row is None else Hint(row.id, row.device_class, row.marked)
