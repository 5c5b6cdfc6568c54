"""Events as they come, for many streams in one query; each stream sees its own job alone."""

from typing import NamedTuple

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from db.models import Job, JobEvent
from db.repositories.reading import get
from db.tenancy import scoped
from regraft.contract.status import SHOWN_KINDS, TERMINAL, JobKind

MOST = 500
_NOUNS = {JobKind.TRAIN: "job", JobKind.BATCH: "batch"}


class Position(NamedTuple):
    """Up to where a stream has read: every event of this tenant's job up to `seq`."""

    tenant_id: str
    job_id: str
    seq: int


def position(
    session: Session,
    tenant_id: str,
    job_id: str,
    last: str | None,
    kind: JobKind = JobKind.TRAIN,
) -> Position:
    """Return where to go on behind the event `last`; from the start without one that is known.

    Raises `NotFoundError` where the tenant has no such job of this kind.
    """
    kinds = SHOWN_KINDS if kind in SHOWN_KINDS else {kind}
    mine = scoped(Job, tenant_id).where(Job.kind.in_(kinds), Job.id == job_id)
    get(session, mine, _NOUNS[kind])
    query = scoped(JobEvent, tenant_id).where(JobEvent.job_id == job_id, JobEvent.id == last)
    known = None if last is None or not last.isascii() else session.scalar(query)
    return Position(tenant_id, job_id, 0 if known is None else known.seq)


def is_over(session: Session, position: Position) -> bool:
    """Tell whether the event that a stream has read up to was its job's last."""
    query = scoped(JobEvent, position.tenant_id).where(JobEvent.seq == position.seq)
    event = session.scalar(query)
    return event is not None and event.type == "status" and event.data.get("to") in TERMINAL


def after(session: Session, positions: list[Position]) -> list[JobEvent]:
    """Return the first `MOST` events behind any of these positions, in their order."""
    if not positions:
        return []
    behind = [
        and_(
            JobEvent.tenant_id == one.tenant_id,
            JobEvent.job_id == one.job_id,
            JobEvent.seq > one.seq,
        )
        for one in positions
    ]
    # any tenant: each condition names the tenant that its stream belongs to.
    query = select(JobEvent).where(or_(*behind)).order_by(JobEvent.seq).limit(MOST)
    return list(session.scalars(query))
