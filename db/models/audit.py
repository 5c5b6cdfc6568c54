"""Who did what: one row for each change that a team may later ask about."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, now


class AuditEntry(Base):
    """One change, written in its own transaction; `actor` is a key's id, null for an operator."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("ix_audit_entry_tenant_id_id", "tenant_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    actor: Mapped[str | None] = mapped_column(String(40))
    action: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(200))
    data: Mapped[dict[str, object]] = mapped_column(Json)
    request_id: Mapped[str | None] = mapped_column(String(128))
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
