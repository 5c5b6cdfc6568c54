"""Erasures: what was asked to go, how far that is, and afterwards the record of it."""

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, now


class Erasure(Base):
    """One dataset's erasure; `deleted` counts what is gone, written with each deletion.

    `job_id` is the job that does it, another one where the first failed. A dataset has any number
    that were called off, and one other at most.
    """

    __tablename__ = "erasure"
    __table_args__ = (
        Index("ix_erasure_tenant_id_id", "tenant_id", "id"),
        Index(
            "uq_erasure_dataset_id",
            "dataset_id",
            unique=True,
            sqlite_where=text("cancelled_at IS NULL"),
            postgresql_where=text("cancelled_at IS NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    dataset_name: Mapped[str] = mapped_column(String(200))
    models: Mapped[str] = mapped_column(String(10))
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"))
    actor: Mapped[str | None] = mapped_column(String(40))
    deleted: Mapped[dict[str, int]] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    finished_at: Mapped[float | None] = mapped_column(Epoch, index=True)
    cancelled_at: Mapped[float | None] = mapped_column(Epoch)
