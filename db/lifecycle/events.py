"""A job's history: one row for each thing worth telling, written with what it tells of."""

from sqlalchemy import insert
from sqlalchemy.orm import Session

from db.lifecycle import outbox
from db.lifecycle.waking import wake
from db.models import JobEvent
from regraft.contract.ids import new_id
from regraft.contract.status import EventLevel, EventType


def record(
    session: Session,
    *,
    tenant_id: str,
    job_id: str,
    fence: int,
    level: EventLevel,
    type: EventType,  # noqa: A002 - the column's and the contract's name
    message: str,
    data: dict[str, object] | None = None,
) -> None:
    """Insert one event into the transaction of the move that it describes.

    A move wakes control; the end of a job is put into the outbox of webhooks.
    """
    event_id = new_id("evt")
    session.execute(
        insert(JobEvent).values(
            id=event_id,
            tenant_id=tenant_id,
            job_id=job_id,
            fence=fence,
            level=level,
            type=type,
            message=message,
            data=data or {},
        )
    )
    if type == "status":
        wake(session)
        outbox.job_moved(session, tenant_id, event_id, job_id, (data or {}).get("to"))
