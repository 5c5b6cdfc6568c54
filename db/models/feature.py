"""Features that were computed before: packs in the blob store, and the images they hold."""

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Sequence, now


class FeaturePack(Base):
    """A file of features of one key, as a blob of the tenant's; `name` is the pack's own hash.

    A cache: whoever finds none computes, so any row may go at any time.
    """

    __tablename__ = "feature_pack"
    __table_args__ = (
        UniqueConstraint("tenant_id", "key", "name"),
        Index("ix_feature_pack_tenant_id_sha256", "tenant_id", "sha256"),
    )

    id: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    key: Mapped[str] = mapped_column(String(64))
    backbone: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(32))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    num_images: Mapped[int]
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    used_at: Mapped[float] = mapped_column(Epoch, default=now())


class FeatureImage(Base):
    """That a pack holds the features of an image, which may be in any number of datasets."""

    __tablename__ = "feature_image"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    image_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    pack_id: Mapped[int] = mapped_column(
        ForeignKey("feature_pack.id"), primary_key=True, index=True
    )
