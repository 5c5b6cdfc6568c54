"""Tenants (merchants), their API keys, and the answers kept for repeated requests."""

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, now


class Tenant(Base):
    """A merchant's team; everything below belongs to exactly one."""

    __tablename__ = "tenant"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    weight: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())


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
