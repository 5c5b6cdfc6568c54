"""A job's history: one row for each thing worth telling, written with what it tells of."""

from sqlalchemy import insert
from sqlalchemy.orm import Session

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
    """Insert one event into the transaction of the move that it describes; a move wakes control."""
    session.execute(
        insert(JobEvent).values(
            id=new_id("evt"),
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
