"""Device slots: one row for each Celery child that can run a job, alive while it is renewed."""

import os
import socket

from sqlalchemy import delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle.guard import changed
from db.models import WorkerSlot


def register(session: Session, slot_id: str, *, device_class: str, lease: float) -> None:
    """Announce this process as a free slot, or renew it where it is known already."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(WorkerSlot).values(
        id=slot_id,
        device_class=device_class,
        host=socket.gethostname()[:200],
        pid=os.getpid(),
        lease_until=now() + lease,
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["id"], set_={"lease_until": statement.excluded.lease_until}
        )
    )


def free(session: Session, slot_id: str) -> None:
    """Say that a slot runs nothing, whatever it ran."""
    changed(session, update(WorkerSlot).where(WorkerSlot.id == slot_id).values(job_id=None))


def remove(session: Session, slot_id: str) -> None:
    """Forget a slot whose process ends."""
    changed(session, delete(WorkerSlot).where(WorkerSlot.id == slot_id))


def expire(session: Session) -> int:
    """Forget the slots that were not renewed in time; return how many there were."""
    return changed(session, delete(WorkerSlot).where(WorkerSlot.lease_until < now()))
