"""What batches answered: parts as they come, and the whole once it is."""

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class BatchPart(Base):
    """A part of a batch's answers; the bytes are a blob of the tenant's."""

    __tablename__ = "batch_part"
    __table_args__ = (Index("ix_batch_part_tenant_id_sha256", "tenant_id", "sha256"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    num_rows: Mapped[int]
    num_errors: Mapped[int]


class BatchFile(Base):
    """The answers of a batch that succeeded: its parts end to end."""

    __tablename__ = "batch_file"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    num_rows: Mapped[int]
    num_errors: Mapped[int]
