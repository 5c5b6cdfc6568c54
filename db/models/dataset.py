"""Datasets, immutable once ready, and the verdict on each uploaded file."""

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, now


class Dataset(Base):
    """One version of a set of images; `source_sha256` is the uploaded container's blob.

    A later version names its parent, the first of them all, and its `changes` to the parent
    (`Changes` of db.repositories.versions); where it adds no files `source_bytes` is 0.
    The row of a deleted one stays, emptied, for the jobs and models that name it.
    """

    __tablename__ = "dataset"
    __table_args__ = (
        Index("ix_dataset_tenant_id_id", "tenant_id", "id"),
        Index("ix_dataset_tenant_id_source_sha256", "tenant_id", "source_sha256"),
        Index("ix_dataset_first_id_version", "first_id", "version", unique=True),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(String(200))
    version: Mapped[int] = mapped_column(default=1)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("dataset.id"))
    first_id: Mapped[str | None] = mapped_column(String(40))
    changes: Mapped[dict[str, object] | None] = mapped_column(Json)
    status: Mapped[str] = mapped_column(String(20), default="processing")
    status_reason: Mapped[str | None] = mapped_column(Text)
    num_images: Mapped[int] = mapped_column(default=0)
    num_rejected: Mapped[int] = mapped_column(default=0)
    num_unlabelled: Mapped[int] = mapped_column(default=0)
    classes: Mapped[list[dict[str, object]]] = mapped_column(Json, default=list)
    warnings: Mapped[list[dict[str, object]]] = mapped_column(Json, default=list)
    source_bytes: Mapped[int] = mapped_column(BigInteger)
    source_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata", Json, default=dict)
    deleted_at: Mapped[float | None] = mapped_column(Epoch)


class Image(Base):
    """One file of an upload: its verdict and, where it was kept, the blob of its clean copy.

    `content` identifies what is seen, whatever the format.
    """

    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("dataset_id", "seq"),
        Index("ix_image_tenant_id_dataset_id", "tenant_id", "dataset_id"),
        Index("ix_image_tenant_id_sha256", "tenant_id", "sha256"),
        Index("ix_image_tenant_id_thumbnail_sha256", "tenant_id", "thumbnail_sha256"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"))
    seq: Mapped[int]
    path: Mapped[str] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(Text)
    product_group: Mapped[str | None] = mapped_column(Text)
    split: Mapped[str | None] = mapped_column(String(10))
    verdict: Mapped[str] = mapped_column(String(30))
    message: Mapped[str | None] = mapped_column(Text)
    sha256: Mapped[str | None] = mapped_column(String(64))
    thumbnail_sha256: Mapped[str | None] = mapped_column(String(64))
    content: Mapped[str | None] = mapped_column(String(64))
    width: Mapped[int | None]
    height: Mapped[int | None]
