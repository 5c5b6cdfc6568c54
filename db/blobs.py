"""The blob store in SQL: chunks of at most 4 MiB, each in a transaction of its own.

A `blob` row appears only when all its chunks are there; nothing is ever whole in memory.
Storing what is there already renews it, so that `db.lifecycle.unreferenced` leaves it alone
until whoever stored it has written what refers to it.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.blobs import CHUNK_BYTES, BlobInfo, BlobNotFoundError
from db.base import now
from db.lifecycle.guard import changed
from db.models import Blob, BlobChunk
from db.session import Database

RENEWED_SECONDS = 1800.0

_READ_CHUNK = {
    "sqlite": "SELECT data FROM blob_chunk WHERE scope = ? AND sha256 = ? AND seq = ?",
    "postgresql": "SELECT data FROM blob_chunk WHERE scope = %s AND sha256 = %s AND seq = %s",
}


class SqlBlobStore:
    """`core.blobs.BlobStore` over the tables `blob` and `blob_chunk`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_file(self, scope: str, path: Path) -> BlobInfo:
        """Store a file; storing the same bytes again changes nothing."""
        with path.open("rb") as source:
            return self._put(scope, source)

    def put_bytes(self, scope: str, data: bytes) -> BlobInfo:
        """Store bytes; storing the same bytes again changes nothing."""
        return self._put(scope, io.BytesIO(data))

    def find(self, scope: str, sha256: str) -> BlobInfo | None:
        """Return the blob, or None where the scope has none of that hash."""
        with self._database.read() as session:
            return _find(session, scope, sha256)

    def read(
        self, scope: str, sha256: str, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """Yield a range in pieces of at most 4 MiB; raises `BlobNotFoundError` at once."""
        blob = self.find(scope, sha256)
        if blob is None:
            raise BlobNotFoundError(sha256)
        end = blob.size if length is None else min(blob.size, offset + length)
        return self._pieces(scope, sha256, offset, end)

    def _pieces(self, scope: str, sha256: str, offset: int, end: int) -> Iterator[bytes]:
        while offset < end:
            seq, skip = divmod(offset, CHUNK_BYTES)
            piece = self._chunk(scope, sha256, seq)[skip : skip + end - offset]
            if not piece:
                raise BlobNotFoundError(sha256)
            yield piece
            offset += len(piece)

    def _chunk(self, scope: str, sha256: str, seq: int) -> bytes:
        with self._database.read() as session:
            connection: Any = session.connection().connection.driver_connection
            # PostgreSQL's text format for bytea costs 3 to 8 times the binary one.
            binary = {} if self._database.is_sqlite else {"binary": True}
            cursor = connection.cursor(**binary)
            cursor.execute(_READ_CHUNK[session.get_bind().dialect.name], (scope, sha256, seq))
            row = cursor.fetchone()
        if row is None:
            raise BlobNotFoundError(sha256)
        return bytes(row[0])

    def _put(self, scope: str, source: BinaryIO) -> BlobInfo:
        blob = _measure(source)
        while not self._is_stored(scope, blob.sha256):
            source.seek(0)
            for seq, data in enumerate(iter(lambda: source.read(CHUNK_BYTES), b"")):
                self._put_chunk(scope, blob.sha256, seq, data)
            self._complete(scope, blob)
        return blob

    def _is_stored(self, scope: str, sha256: str) -> bool:
        """Tell whether a blob is there; one that is not quite new is renewed first."""
        mine = (Blob.scope == scope) & (Blob.sha256 == sha256)
        with self._database.read() as session:
            age = session.scalar(select(now() - Blob.created_at).where(mine))
        if age is None or age < RENEWED_SECONDS:
            return age is not None
        with self._database.write() as session:
            return changed(session, update(Blob).where(mine).values(created_at=now())) == 1

    def _put_chunk(self, scope: str, sha256: str, seq: int, data: bytes) -> None:
        values = {"scope": scope, "sha256": sha256, "seq": seq, "data": data}
        with self._database.write() as session:
            session.execute(_insert_or_keep(session, BlobChunk, values))

    def _complete(self, scope: str, blob: BlobInfo) -> None:
        """Write the blob's row if every byte is there; a sweep may have taken early chunks."""
        stored = select(func.coalesce(func.sum(func.length(BlobChunk.data)), 0)).where(
            BlobChunk.scope == scope, BlobChunk.sha256 == blob.sha256
        )
        with self._database.write() as session:
            if session.scalar(stored) == blob.size:
                values = {"scope": scope, **blob._asdict()}
                session.execute(_insert_or_keep(session, Blob, values))


def _insert_or_keep(session: Session, table: type[Blob | BlobChunk], values: dict[str, Any]) -> Any:
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    return dialect.insert(table).values(values).on_conflict_do_nothing()


def _find(session: Session, scope: str, sha256: str) -> BlobInfo | None:
    size = session.scalar(select(Blob.size).where(Blob.scope == scope, Blob.sha256 == sha256))
    return None if size is None else BlobInfo(sha256, size)


def _measure(source: BinaryIO) -> BlobInfo:
    digest = hashlib.sha256()
    size = 0
    source.seek(0)
    for data in iter(lambda: source.read(CHUNK_BYTES), b""):
        digest.update(data)
        size += len(data)
    return BlobInfo(digest.hexdigest(), size)
