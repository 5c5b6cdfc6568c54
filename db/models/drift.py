"""What predict traffic looks like beside the training images: sums of windows, no photo's own."""

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, Sequence, now


class DriftWindow(Base):
    """A window of a model's photos; the open one holds sums, a closed one what they came to."""

    __tablename__ = "drift_window"
    __table_args__ = (
        Index("ix_drift_window_model_id_seq", "model_id", "seq"),
        Index(
            "uq_drift_window_open",
            "model_id",
            unique=True,
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    model_id: Mapped[str] = mapped_column(ForeignKey("model.id"))
    num_images: Mapped[int] = mapped_column(BigInteger)
    sums: Mapped[list[float]] = mapped_column(Json)
    counts: Mapped[list[int]] = mapped_column(Json)
    shift: Mapped[float | None] = mapped_column(Epoch)
    p_value: Mapped[float | None] = mapped_column(Epoch)
    drifted: Mapped[bool | None]
    started_at: Mapped[float] = mapped_column(Epoch, default=now())
    closed_at: Mapped[float | None] = mapped_column(Epoch)
