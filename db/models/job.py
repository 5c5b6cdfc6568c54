"""Jobs, the truth about what runs where, and what a run left: events, metrics, one result."""

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Epoch, Json, Sequence, now


class Job(Base):
    """A job row is the outbox, the lock and the state; a queue message is only a hint.

    Whoever holds `fence` while `status = 'running'` may write; `requested_action` is a wish.
    """

    __tablename__ = "job"
    __table_args__ = (
        Index("ix_job_tenant_id_id", "tenant_id", "id"),
        Index(
            "ix_job_queued",
            "device_class",
            "tenant_id",
            "run_after",
            "priority",
            sqlite_where=text("status = 'queued'"),
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "ix_job_running",
            "device_class",
            "tenant_id",
            "lease_until",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    kind: Mapped[str] = mapped_column(String(10))
    device_class: Mapped[str] = mapped_column(String(20))
    name: Mapped[str | None] = mapped_column(String(200))
    register_as: Mapped[str | None] = mapped_column(String(63))
    spec: Mapped[dict[str, object]] = mapped_column(Json)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("dataset.id"), index=True)
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata", Json, default=dict)
    priority: Mapped[int] = mapped_column(default=0)

    status: Mapped[str] = mapped_column(String(10), default="queued")
    status_reason: Mapped[str | None] = mapped_column(Text)
    requested_action: Mapped[str | None] = mapped_column(String(10))
    attempt: Mapped[int] = mapped_column(default=0)
    lost_count: Mapped[int] = mapped_column(default=0)
    retry_count: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(BigInteger, default=0)
    owner: Mapped[str | None] = mapped_column(String(40))
    lease_until: Mapped[float | None] = mapped_column(Epoch)
    run_after: Mapped[float] = mapped_column(Epoch, default=now())
    dispatched_at: Mapped[float | None] = mapped_column(Epoch)
    seconds_run: Mapped[float] = mapped_column(Epoch, default=0.0)

    progress: Mapped[dict[str, object] | None] = mapped_column(Json)
    error: Mapped[dict[str, object] | None] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    started_at: Mapped[float | None] = mapped_column(Epoch)
    claimed_at: Mapped[float | None] = mapped_column(Epoch)
    finished_at: Mapped[float | None] = mapped_column(Epoch)


class JobEvent(Base):
    """One line of a job's history; a change of status is written with the change itself."""

    __tablename__ = "job_event"
    __table_args__ = (Index("ix_job_event_job_id_seq", "job_id", "seq"),)

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(40), unique=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"))
    fence: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    level: Mapped[str] = mapped_column(String(5))
    type: Mapped[str] = mapped_column(String(10))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, object]] = mapped_column(Json, default=dict)


class JobMetric(Base):
    """One value of a series; a later attempt's value for the same step replaces the earlier."""

    __tablename__ = "job_metric"
    __table_args__ = (UniqueConstraint("job_id", "name", "step"),)

    seq: Mapped[int] = mapped_column(Sequence, primary_key=True, autoincrement=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"))
    name: Mapped[str] = mapped_column(String(100))
    step: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[float] = mapped_column(Epoch)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())


class JobResult(Base):
    """What the one successful attempt made; the primary key is why there cannot be two."""

    __tablename__ = "job_result"

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    fence: Mapped[int] = mapped_column(BigInteger)
    model_id: Mapped[str | None] = mapped_column(ForeignKey("model.id"))
    metrics: Mapped[dict[str, object] | None] = mapped_column(Json)
    transfer: Mapped[dict[str, object] | None] = mapped_column(Json)
    usage: Mapped[dict[str, object]] = mapped_column(Json)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())


class JobCheckpoint(Base):
    """Where a training stood; the bytes are a blob of the tenant's.

    A row with `dropped_at` counts no more, and waits for the sweep to take its blob.
    """

    __tablename__ = "job_checkpoint"
    __table_args__ = (
        Index(
            "ix_job_checkpoint_dropped",
            "dropped_at",
            sqlite_where=text("dropped_at IS NOT NULL"),
            postgresql_where=text("dropped_at IS NOT NULL"),
        ),
        Index("ix_job_checkpoint_tenant_id_sha256", "tenant_id", "sha256"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("job.id"), primary_key=True)
    fence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    epoch: Mapped[int | None]
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(Epoch, default=now())
    dropped_at: Mapped[float | None] = mapped_column(Epoch)
