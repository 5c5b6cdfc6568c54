"""What a merchant uses and may use at most: bytes, jobs and minutes of the devices.

A quota of running jobs makes jobs wait (`db.lifecycle.fairness`); every other one refuses.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from core.queues import INGEST_CLASS
from core.refusals import InvalidError, QuotaError
from db.base import month, now
from db.models import Blob, DeviceUse, FeaturePack, Job, Tenant, Upload, UploadPart
from db.tenancy import scoped
from regraft.contract.status import TRAINER_KINDS, JobStatus

COLUMNS = {
    "stored_bytes": "max_stored_bytes",
    "jobs_queued": "max_queued",
    "jobs_running": "max_running",
    "device_minutes": "max_device_minutes",
}
MAX_WEIGHT = 1000
_MOST = 2**53
_MOST_COUNT = 2**31 - 1
_QUEUE_SECONDS = 60
_STORAGE_SECONDS = 3600
_MINUTE = 60.0


class Quota(NamedTuple):
    """What is used of one thing, and its limit; the fields of the contract's `Quota`."""

    name: str
    used: float
    limit: int | None


class Usage(NamedTuple):
    """What a merchant uses: seconds of a device class in `month`, bytes now."""

    month: str
    device_seconds: float
    stored_bytes: int
    quotas: tuple[Quota, ...]


def admit_bytes(session: Session, tenant_id: str, size: int) -> None:
    """Raise `QuotaError` where so many more bytes are more than the merchant may store.

    What uploads under way have reserved counts as stored.
    """
    limit = session.get_one(Tenant, tenant_id).max_stored_bytes
    if limit is None:
        return
    used = _stored_bytes(session, tenant_id) + _reserved_bytes(session, tenant_id)
    if used + size > limit:
        raise QuotaError(
            "stored_bytes",
            f"You store {used} bytes of the {limit} that your quota allows, and this would add "
            f"{size}: delete datasets or models that you no longer need, or ask for more.",
            _STORAGE_SECONDS,
        )


def hold_bytes(session: Session, tenant_id: str, size: int) -> bool:
    """Admit bytes that the caller reserves in this transaction; False where there is no quota.

    Reservations of one merchant wait for each other until the transaction ends.
    """
    tenant = session.get_one(Tenant, tenant_id)
    if tenant.max_stored_bytes is None:
        return False
    session.refresh(tenant, with_for_update=True)
    admit_bytes(session, tenant_id, size)
    return True


def admit_job(session: Session, tenant_id: str) -> None:
    """Raise `QuotaError` where the merchant may have no further job.

    Submits of one merchant that has a quota wait for each other until the transaction ends.
    """
    tenant = session.get_one(Tenant, tenant_id)
    if tenant.max_queued is None and tenant.max_device_minutes is None:
        return
    session.refresh(tenant, with_for_update=True)
    if tenant.max_queued is not None:
        queued = _jobs(session, tenant_id, JobStatus.QUEUED)
        if queued >= tenant.max_queued:
            raise QuotaError(
                "jobs_queued",
                f"You have {queued} jobs waiting, all that your quota of {tenant.max_queued} "
                "allows: wait until one starts, cancel one, or ask for more.",
                _QUEUE_SECONDS,
            )
    if tenant.max_device_minutes is not None:
        used = _device_seconds(session, tenant_id) / _MINUTE
        if used >= tenant.max_device_minutes:
            raise QuotaError(
                "device_minutes",
                f"You used {used:.1f} of the {tenant.max_device_minutes} device-minutes of this "
                "month: wait for the next month, or ask for more.",
                _seconds_of_month_left(session),
            )


def usage(session: Session, tenant_id: str) -> Usage:
    """Return what a merchant uses now; `device_class` is the trainers'."""
    tenant = session.get_one(Tenant, tenant_id)
    seconds = _device_seconds(session, tenant_id)
    used = {
        "stored_bytes": _stored_bytes(session, tenant_id),
        "jobs_queued": _jobs(session, tenant_id, JobStatus.QUEUED),
        "jobs_running": _jobs(session, tenant_id, JobStatus.RUNNING),
        "device_minutes": round(seconds / _MINUTE, 2),
    }
    return Usage(
        month=session.scalar(select(month())) or "",
        device_seconds=seconds,
        stored_bytes=int(used["stored_bytes"]),
        quotas=tuple(
            Quota(name, used[name], getattr(tenant, column)) for name, column in COLUMNS.items()
        ),
    )


def set_limits(tenant: Tenant, limits: dict[str, int | None]) -> None:
    """Set quotas by name; None takes one away. Raises `InvalidError` for an impossible number."""
    for name, limit in limits.items():
        most = _MOST if name == "stored_bytes" else _MOST_COUNT
        if limit is not None and not 0 <= limit <= most:
            raise InvalidError(name, f"must be a number from 0 to {most}, or `none`")
        setattr(tenant, COLUMNS[name], limit)


def set_weight(tenant: Tenant, weight: int) -> None:
    """Set a merchant's part of the devices; raises `InvalidError` for an impossible number."""
    if not 1 <= weight <= MAX_WEIGHT:
        raise InvalidError("weight", f"must be a number from 1 to {MAX_WEIGHT}")
    tenant.weight = weight


def _stored_bytes(session: Session, tenant_id: str) -> int:
    """Return the bytes that the merchant keeps; features are a cache of ours and do not count."""
    whole = session.scalar(select(func.sum(Blob.size)).where(Blob.scope == tenant_id)) or 0
    is_pack = exists().where(FeaturePack.tenant_id == tenant_id, FeaturePack.sha256 == Blob.sha256)
    packs = select(func.sum(Blob.size)).where(Blob.scope == tenant_id, is_pack)
    return whole - (session.scalar(packs) or 0)


def _reserved_bytes(session: Session, tenant_id: str) -> int:
    """Return what uploads under way may still bring."""
    living = (Upload.expires_at > now()) & Upload.completed_at.is_(None)
    whole = scoped(Upload, tenant_id).where(living).with_only_columns(func.sum(Upload.size))
    come = scoped(UploadPart, tenant_id).join(Upload, Upload.id == UploadPart.upload_id)
    parts = come.where(living).with_only_columns(func.sum(UploadPart.size))
    return (session.scalar(whole) or 0) - (session.scalar(parts) or 0)


def _jobs(session: Session, tenant_id: str, status: JobStatus) -> int:
    query = scoped(Job, tenant_id).where(Job.status == status, Job.kind.in_(TRAINER_KINDS))
    return session.scalar(query.with_only_columns(func.count())) or 0


def _device_seconds(session: Session, tenant_id: str) -> float:
    """Return this month's seconds of every trainer class, those of running jobs included."""
    ended = scoped(DeviceUse, tenant_id).where(
        DeviceUse.month == month(), DeviceUse.device_class != INGEST_CLASS
    )
    running = scoped(Job, tenant_id).where(
        Job.status == JobStatus.RUNNING, Job.device_class != INGEST_CLASS
    )
    return sum(
        session.scalar(query.with_only_columns(func.sum(seconds))) or 0.0
        for query, seconds in ((ended, DeviceUse.device_seconds), (running, now() - Job.claimed_at))
    )


def _seconds_of_month_left(session: Session) -> int:
    today = datetime.fromtimestamp(session.scalar(select(now())) or 0.0, UTC)
    first = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return int((following - today).total_seconds()) + 1
