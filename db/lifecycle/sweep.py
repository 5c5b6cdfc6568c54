"""The sweep: rows that nothing will ever ask for again."""

from sqlalchemy import delete, exists, select, tuple_, update
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import deliveries, slots
from db.lifecycle.guard import changed
from db.lifecycle.unreferenced import sweep_blobs
from db.models import (
    Blob,
    BlobChunk,
    FileSegment,
    Idempotency,
    Job,
    JobCheckpoint,
    Upload,
    UploadPart,
)
from db.session import Database
from regraft.contract.status import TERMINAL

_ORPHAN_SECONDS = 3600.0
_DROPPED_SECONDS = 60.0
_AT_ONCE = 100


def sweep(database: Database) -> dict[str, int]:
    """Delete what nothing asks for any more; return how many of each kind."""
    with database.write() as session:
        dead = slots.expire(session)
        expired = changed(session, delete(Idempotency).where(Idempotency.expires_at < now()))
        uploads = _forget_uploads(session)
        told = deliveries.sweep(session)
    return {
        "slots": dead,
        "answers": expired,
        "uploads": uploads,
        "deliveries": told,
        "chunks": _sweep_chunks(database),
        "checkpoints": _sweep_checkpoints(database),
        "blobs": sweep_blobs(database),
    }


def _forget_uploads(session: Session) -> int:
    """Delete uploads that were not used in time; their bytes are referred to no more."""
    old = select(Upload.id).where(Upload.expires_at < now())
    changed(session, delete(UploadPart).where(UploadPart.upload_id.in_(old)))
    return changed(session, delete(Upload).where(Upload.expires_at < now()))


def _sweep_chunks(database: Database) -> int:
    """Delete chunks of uploads that never became a blob, a few blobs in each transaction."""
    whole = exists().where(Blob.scope == BlobChunk.scope, Blob.sha256 == BlobChunk.sha256)
    orphan = (BlobChunk.created_at < now() - _ORPHAN_SECONDS) & ~whole
    query = select(BlobChunk.scope, BlobChunk.sha256).where(orphan).distinct().limit(_AT_ONCE)
    with database.read() as session:
        found = session.execute(query).all()
    count = 0
    for scope, sha256 in found:
        mine = (BlobChunk.scope == scope) & (BlobChunk.sha256 == sha256)
        with database.write() as session:
            count += changed(session, delete(BlobChunk).where(mine & orphan))
    return count


def _sweep_checkpoints(database: Database) -> int:
    """Delete dropped checkpoints, and their bytes where nothing else consists of them.

    A job that has ended never goes on: what its end has not dropped is dropped here.
    """
    ended = exists().where(Job.id == JobCheckpoint.job_id, Job.status.in_(TERMINAL))
    left = JobCheckpoint.dropped_at.is_(None) & ended
    with database.write() as session:
        changed(session, update(JobCheckpoint).where(left).values(dropped_at=now()))
    with database.read() as session:
        dropped = session.scalars(
            select(JobCheckpoint)
            .where(JobCheckpoint.dropped_at < now() - _DROPPED_SECONDS)
            .limit(_AT_ONCE)
        ).all()
    for row in dropped:
        with database.write() as session:
            _delete_checkpoint(session, row)
    return len(dropped)


def _delete_checkpoint(session: Session, row: JobCheckpoint) -> None:
    key = (JobCheckpoint.job_id, JobCheckpoint.fence, JobCheckpoint.step)
    changed(session, delete(JobCheckpoint).where(tuple_(*key) == (row.job_id, row.fence, row.step)))
    bytes_of = {"tenant_id": row.tenant_id, "sha256": row.sha256}
    others = select(JobCheckpoint.job_id).filter_by(**bytes_of).limit(1)
    parts = select(FileSegment.model_id).filter_by(scope=row.tenant_id, blob_sha256=row.sha256)
    # No dataset, no image and no answer consists of a checkpoint's bytes.
    if session.scalar(others) is None and session.scalar(parts.limit(1)) is None:
        for table in (Blob, BlobChunk):
            mine = (table.scope == row.tenant_id) & (table.sha256 == row.sha256)
            changed(session, delete(table).where(mine))
