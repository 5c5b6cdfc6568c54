"""Tenants (merchants), their API keys, and the answers kept for repeated requests."""

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, now


class Tenant(Base):
    """A merchant's team; everything below belongs to exactly one.

    The quotas, from `max_running` on, are None where there is none; minutes are a month's.
    """

    __tablename__ = "tenant"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    weight: Mapped[int] = mapped_column(default=1)
    max_running: Mapped[int | None]
    max_queued: Mapped[int | None]
    max_stored_bytes: Mapped[int | None] = mapped_column(BigInteger)
    max_device_minutes: Mapped[int | None]
    created_at: Mapped[float] = mapped_column(Epoch, default=now())


class FairShare(Base):
    """What a tenant has used of one device class; see `db.lifecycle.fairness`.

    One row for each, updated as jobs start and end, so that fairness never counts old jobs.
    """

    __tablename__ = "fair_share"
    __table_args__ = (Index("ix_fair_share_device_class_start_tag", "device_class", "start_tag"),)

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    device_class: Mapped[str] = mapped_column(String(20), primary_key=True)
    device_seconds: Mapped[float] = mapped_column(Epoch, default=0.0)
    clock: Mapped[float] = mapped_column(Epoch, default=0.0)
    start_tag: Mapped[float] = mapped_column(Epoch, default=0.0)
    typical_seconds: Mapped[float | None] = mapped_column(Epoch)
    active_until: Mapped[float] = mapped_column(Epoch, default=0.0)


class DeviceUse(Base):
    """What a tenant used of one device class in one month (UTC, `2026-11`), as jobs end."""

    __tablename__ = "device_use"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    device_class: Mapped[str] = mapped_column(String(20), primary_key=True)
    device_seconds: Mapped[float] = mapped_column(Epoch, default=0.0)


class ApiKey(Base):
    """A key by its public prefix and the SHA-256 of its 256-bit secret."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), index=True)
    prefix: Mapped[str] = mapped_column(String(8), unique=True)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    expires_at: Mapped[float | None] = mapped_column(Epoch)
    revoked_at: Mapped[float | None] = mapped_column(Epoch)


class Idempotency(Base):
    """The first answer to a request that may be repeated; written with what it created."""

    __tablename__ = "idempotency"
    __table_args__ = (
        UniqueConstraint("tenant_id", "route", "key"),
        Index("ix_idempotency_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    route: Mapped[str] = mapped_column(String(100))
    key: Mapped[str] = mapped_column(String(255))
    request_sha256: Mapped[str] = mapped_column(String(64))
    response_status: Mapped[int]
    response_body: Mapped[dict[str, object]] = mapped_column(Json)
    expires_at: Mapped[float] = mapped_column(Epoch)
