"""Content-addressed bytes as rows of chunks; a blob exists once its `blob` row does."""

from sqlalchemy import BigInteger, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, now


class Blob(Base):
    """A complete blob; `scope` is a tenant's id or `shared`, `created_at` renewed at each put."""

    __tablename__ = "blob"

    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())


class BlobChunk(Base):
    """At most 4 MiB of a blob; `seq` counts from 0."""

    __tablename__ = "blob_chunk"
    __table_args__ = (Index("ix_blob_chunk_created_at", "created_at"),)

    scope: Mapped[str] = mapped_column(String(40), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
