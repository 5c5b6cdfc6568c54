"""Files that come in parts; each part is a blob of the tenant's until the file is whole."""

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, now


class Upload(Base):
    """A file on its way; its bytes are reserved of the tenant's quota from the first request on.

    Once `completed_at` is set, the file is the tenant's blob of its hash, and `num_classes` what
    it holds, if that is known before its files are read.
    """

    __tablename__ = "upload"
    __table_args__ = (
        Index("ix_upload_tenant_id_sha256", "tenant_id", "sha256"),
        Index("ix_upload_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    expires_at: Mapped[float] = mapped_column(Epoch)
    completed_at: Mapped[float | None] = mapped_column(Epoch)
    num_classes: Mapped[int | None]


class UploadPart(Base):
    """One part that has come: the blob of its bytes."""

    __tablename__ = "upload_part"
    __table_args__ = (Index("ix_upload_part_tenant_id_sha256", "tenant_id", "sha256"),)

    upload_id: Mapped[str] = mapped_column(ForeignKey("upload.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
