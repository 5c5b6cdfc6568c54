"""Blobs that no row refers to: of writes that were refused, and of what was deleted.

What a running attempt or an upload has stored, and not yet referred to, is younger than its
claim or than `RENEWED_SECONDS`: storing renews a blob (`db.blobs`), and only old ones are taken.
"""

import random

from sqlalchemy import ColumnElement, delete, exists, or_, select, tuple_
from sqlalchemy.orm import Session

from core.blobs import SHARED_SCOPE
from db.base import now
from db.blobs import RENEWED_SECONDS
from db.lifecycle.guard import changed
from db.models import (
    BatchPart,
    Blob,
    BlobChunk,
    Dataset,
    FeaturePack,
    FileSegment,
    Image,
    Job,
    JobCheckpoint,
    Tenant,
    Upload,
    UploadPart,
)
from db.session import Database
from regraft.contract.status import JobStatus

_KEPT_SECONDS = 2 * RENEWED_SECONDS
_LOOKED_AT = 1000

Key = tuple[str, str]


def sweep_blobs(database: Database) -> int:
    """Delete old blobs that nothing refers to, among some from a random place on; return how many.

    Any number of copies look at all of them in time, and no call takes long.
    """
    with database.read() as session:
        found = orphans(session)
    return sum(take(database, key) for key in found)


def orphans(session: Session) -> list[Key]:
    """Return the scope and hash of blobs that may be taken, if they still are when it comes to it.

    Where few blobs are left after the random place, those from the beginning come next.
    """
    scope = random.choice([SHARED_SCOPE, *session.scalars(select(Tenant.id))])
    start = (scope, f"{random.getrandbits(256):064x}")
    key = tuple_(Blob.scope, Blob.sha256)
    looked_at: list[Key] = []
    for part in (key >= start, key < start):
        query = select(Blob.scope, Blob.sha256).where(part).order_by(Blob.scope, Blob.sha256)
        rows = session.execute(query.limit(_LOOKED_AT - len(looked_at)))
        looked_at += [(row.scope, row.sha256) for row in rows]
    if not looked_at:
        return []
    query = select(Blob.scope, Blob.sha256).where(key.in_(looked_at), _is_orphan())
    return [(row.scope, row.sha256) for row in session.execute(query)]


def take(database: Database, key: Key) -> bool:
    """Delete one blob and its chunks, unless it was renewed or is referred to by now."""
    scope, sha256 = key
    with database.write() as session:
        mine = (Blob.scope == scope) & (Blob.sha256 == sha256)
        if changed(session, delete(Blob).where(mine & _is_orphan())) == 0:
            return False
        chunks = (BlobChunk.scope == scope) & (BlobChunk.sha256 == sha256)
        changed(session, delete(BlobChunk).where(chunks))
    return True


def is_referred() -> ColumnElement[bool]:
    """Tell of a blob whether a row of its tenant's consists of it."""
    return or_(
        exists().where(JobCheckpoint.tenant_id == Blob.scope, JobCheckpoint.sha256 == Blob.sha256),
        exists().where(BatchPart.tenant_id == Blob.scope, BatchPart.sha256 == Blob.sha256),
        exists().where(FileSegment.scope == Blob.scope, FileSegment.blob_sha256 == Blob.sha256),
        exists().where(Dataset.tenant_id == Blob.scope, Dataset.source_sha256 == Blob.sha256),
        exists().where(Image.tenant_id == Blob.scope, Image.sha256 == Blob.sha256),
        exists().where(FeaturePack.tenant_id == Blob.scope, FeaturePack.sha256 == Blob.sha256),
        exists().where(Image.tenant_id == Blob.scope, Image.thumbnail_sha256 == Blob.sha256),
        exists().where(Upload.tenant_id == Blob.scope, Upload.sha256 == Blob.sha256),
        exists().where(UploadPart.tenant_id == Blob.scope, UploadPart.sha256 == Blob.sha256),
    )


def _is_orphan() -> ColumnElement[bool]:
    stored_by_a_running_job = exists().where(
        Job.status == JobStatus.RUNNING,
        or_(Job.tenant_id == Blob.scope, Blob.scope == SHARED_SCOPE),
        Job.claimed_at - RENEWED_SECONDS < Blob.created_at,
    )
    old = Blob.created_at < now() - _KEPT_SECONDS
    return old & ~is_referred() & ~stored_by_a_running_job
