"""What each tenant used of a device class: one row, which each start and each end updates."""

from collections import defaultdict
from collections.abc import Collection

from sqlalchemy import and_, case, func, literal, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.base import month, now
from db.lifecycle.fairness import TYPICAL_SECONDS, Field, Standing
from db.models import DeviceUse, FairShare, Job, Tenant
from regraft.contract.status import JobStatus

_NEWEST_COUNTS = 0.2
_LEAST_SECONDS = 0.001


def start(session: Session, tenant_id: str, device_class: str) -> None:
    """Lift the tenant's clock to what its class has reached: unused time is not saved up."""
    reached = _reached(session, device_class)
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(FairShare).values(
        tenant_id=tenant_id, device_class=device_class, clock=reached, start_tag=reached
    )
    lifted = case((FairShare.clock < reached, reached), else_=FairShare.clock)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "device_class"],
            set_={"clock": lifted, "start_tag": lifted},
        )
    )


def charge(
    session: Session, tenant_id: str, device_class: str, seconds: float, *, typical: bool
) -> None:
    """Add what one attempt used; a `typical` one also tells how long jobs take."""
    weight = select(Tenant.weight).where(Tenant.id == tenant_id).scalar_subquery()
    values: dict[str, object] = {
        "device_seconds": FairShare.device_seconds + seconds,
        "clock": FairShare.clock + seconds / weight,
        "active_until": now(),
    }
    if typical:
        known = func.coalesce(FairShare.typical_seconds, seconds)
        values["typical_seconds"] = known + _NEWEST_COUNTS * (seconds - known)
    mine = and_(FairShare.tenant_id == tenant_id, FairShare.device_class == device_class)
    session.execute(
        update(FairShare).where(mine).values(values),
        execution_options={"synchronize_session": False},
    )
    _add_to_month(session, tenant_id, device_class, seconds)


def _add_to_month(session: Session, tenant_id: str, device_class: str, seconds: float) -> None:
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(DeviceUse).values(
        tenant_id=tenant_id, month=month(), device_class=device_class, device_seconds=seconds
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "month", "device_class"],
            set_={"device_seconds": DeviceUse.device_seconds + seconds},
        )
    )


def field(
    session: Session, device_class: str, tenants: Collection[str], redispatch: float
) -> Field:
    """Return the standings of these tenants; the cost does not grow with jobs that have ended."""
    typical = typical_seconds(session, device_class)
    pending = _pending(session, device_class, redispatch, typical)
    share = and_(FairShare.tenant_id == Tenant.id, FairShare.device_class == device_class)
    query = select(Tenant, FairShare).outerjoin(FairShare, share).where(Tenant.id.in_(set(tenants)))
    standings = {
        tenant.id: Standing(
            clock=0.0 if used is None else used.clock,
            weight=tenant.weight,
            load=len(pending[tenant.id]),
            pending=sum(pending[tenant.id]),
            max_running=tenant.max_running,
            active_until=0.0 if used is None else used.active_until,
        )
        for tenant, used in session.execute(query)
    }
    return Field(standings, _reached(session, device_class), typical)


def typical_seconds(session: Session, device_class: str) -> float:
    """Return how long a job of this class takes, by those that succeeded lately."""
    usual = func.avg(FairShare.typical_seconds)
    known = session.scalar(select(usual).where(FairShare.device_class == device_class))
    return TYPICAL_SECONDS if known is None else max(known, _LEAST_SECONDS)


def _reached(session: Session, device_class: str) -> float:
    """Return the clock of the job that started last: its merchant waited with the lowest."""
    newest = select(func.max(FairShare.start_tag)).where(FairShare.device_class == device_class)
    return session.scalar(newest) or 0.0


def _pending(
    session: Session, device_class: str, redispatch: float, typical: float
) -> defaultdict[str, list[float]]:
    """Return the seconds to expect of each running or hinted job, by tenant."""
    used = select(Job.tenant_id, (now() - Job.claimed_at).label("seconds")).where(
        Job.device_class == device_class, Job.status == JobStatus.RUNNING
    )
    hinted = select(Job.tenant_id, literal(0.0)).where(
        Job.device_class == device_class,
        Job.status == JobStatus.QUEUED,
        Job.dispatched_at >= now() - redispatch,
    )
    pending: defaultdict[str, list[float]] = defaultdict(list)
    # Two queries in one: a single condition would find no index for either half.
    for row in session.execute(union_all(used, hinted)):
        pending[row.tenant_id].append(max(row.seconds or 0.0, typical))
    return pending
