"""Device slots that are alive: one row for each Celery child, renewed by the child itself."""

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, now


class WorkerSlot(Base):
    """A place where one job can run; dead once its lease has expired."""

    __tablename__ = "worker_slot"
    __table_args__ = (Index("ix_worker_slot_device_class", "device_class"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    device_class: Mapped[str] = mapped_column(String(20))
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    lease_until: Mapped[float] = mapped_column(Epoch)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("job.id"))
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
