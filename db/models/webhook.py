"""Merchants' endpoints, and the outbox of what each is to be told."""

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, now


class Webhook(Base):
    """An endpoint; `seed` and, until `previous_until`, `previous_seed` make its secrets.

    `is_slow` is what its last call was, `failing_since` null once one succeeded.
    """

    __tablename__ = "webhook"
    __table_args__ = (
        UniqueConstraint("tenant_id", "url"),
        Index("ix_webhook_tenant_id_id", "tenant_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    url: Mapped[str] = mapped_column(String(2048))
    description: Mapped[str | None] = mapped_column(String(200))
    events: Mapped[list[str]] = mapped_column(Json)
    seed: Mapped[str] = mapped_column(String(64))
    previous_seed: Mapped[str | None] = mapped_column(String(64))
    previous_until: Mapped[float | None] = mapped_column(Epoch)
    is_slow: Mapped[bool] = mapped_column(default=False)
    failing_since: Mapped[float | None] = mapped_column(Epoch)
    disabled_at: Mapped[float | None] = mapped_column(Epoch)
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())


class WebhookDelivery(Base):
    """One event for one endpoint, written with the move that it tells of.

    A pending one is due at `next_at`; whoever takes it moves that behind a lease and counts
    `attempt`, which then proves whose word counts. No foreign key to `webhook`: a merchant who
    deletes an endpoint must not make a job's end fail.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id"),
        Index("ix_webhook_delivery_tenant_id_webhook_id_id", "tenant_id", "webhook_id", "id"),
        Index(
            "ix_webhook_delivery_pending",
            "webhook_id",
            "next_at",
            sqlite_where=text("status = 'pending'"),
            postgresql_where=text("status = 'pending'"),
        ),
        Index("ix_webhook_delivery_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    webhook_id: Mapped[str] = mapped_column(String(40))
    event_id: Mapped[str] = mapped_column(String(40))
    type: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(40))
    status: Mapped[str] = mapped_column(String(10), default="pending")
    attempt: Mapped[int] = mapped_column(default=0)
    retry: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[list[dict[str, object]]] = mapped_column(Json, default=list)
    next_at: Mapped[float] = mapped_column(Epoch, default=now())
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
