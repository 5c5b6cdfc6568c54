"""The sweep: rows that nothing will ever ask for again."""

from sqlalchemy import delete, exists, select

from db.base import now
from db.lifecycle import slots
from db.lifecycle.guard import changed
from db.models import Blob, BlobChunk, Idempotency
from db.session import Database

_ORPHAN_SECONDS = 3600.0
_AT_ONCE = 100


def sweep(database: Database) -> dict[str, int]:
    """Delete dead slots, expired answers and orphan chunks; return how many of each."""
    with database.write() as session:
        dead = slots.expire(session)
        expired = changed(session, delete(Idempotency).where(Idempotency.expires_at < now()))
    return {"slots": dead, "answers": expired, "chunks": _sweep_chunks(database)}


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
