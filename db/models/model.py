"""Trained models and their files; a file is an ordered list of ranges of blobs."""

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, now


class Model(Base):
    """One version under a name, made by one job.

    The row of a deleted one stays: its number is not given again, and what came from it can
    still name it.
    """

    __tablename__ = "model"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name", "version"),
        Index("ix_model_tenant_id_id", "tenant_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(String(63))
    version: Mapped[int]
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), unique=True)
    backbone: Mapped[str] = mapped_column(String(64))
    strategy: Mapped[str] = mapped_column(String(40))
    labels: Mapped[list[str]] = mapped_column(Json)
    metrics: Mapped[dict[str, object]] = mapped_column(Json)
    transfer: Mapped[dict[str, object]] = mapped_column(Json)
    lineage: Mapped[dict[str, object]] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata", Json, default=dict)
    deleted_at: Mapped[float | None] = mapped_column(Epoch)


class ModelAlias(Base):
    """A name for one of the versions under a name; `previous_id` is what it named before."""

    __tablename__ = "model_alias"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    alias: Mapped[str] = mapped_column(String(63), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"), index=True)
    previous_id: Mapped[str | None] = mapped_column(ForeignKey("model.id"), index=True)
    updated_at: Mapped[float] = mapped_column(Epoch, default=now())


class ModelFile(Base):
    """A downloadable file: whole size in bytes and hash, computed once by the worker."""

    __tablename__ = "model_file"

    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))


class FileSegment(Base):
    """`length` bytes from `offset` of a blob; a file is its segments in the order of `seq`."""

    __tablename__ = "file_segment"
    __table_args__ = (Index("ix_file_segment_scope_blob_sha256", "scope", "blob_sha256"),)

    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"), primary_key=True)
    file_name: Mapped[str] = mapped_column(String(100), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    scope: Mapped[str] = mapped_column(String(40))
    blob_sha256: Mapped[str] = mapped_column(String(64))
    offset: Mapped[int] = mapped_column(BigInteger)
    length: Mapped[int] = mapped_column(BigInteger)
