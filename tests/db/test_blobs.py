"""The blob store: bytes come back as they went in, for one scope only."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from core.blobs import CHUNK_BYTES, BlobNotFoundError
from db.blobs import SqlBlobStore
from db.models import Blob, BlobChunk
from db.session import Database


def _random(size: int) -> bytes:
    block = hashlib.sha512(b"regraft").digest()
    return (block * (size // len(block) + 1))[:size]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 17])
def test_bytes_come_back(database: Database, tmp_path: Path, size: int) -> None:
    """A merchant would download a broken model if a chunk boundary lost a byte."""
    data = _random(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    store = SqlBlobStore(database)
    blob = store.put_file("mer_a", path)
    assert blob == (hashlib.sha256(data).hexdigest(), size)
    assert b"".join(store.read("mer_a", blob.sha256)) == data


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (CHUNK_BYTES - 1, 2), (5, CHUNK_BYTES), (2 * CHUNK_BYTES, None), (9, 0)],
)
def test_ranges_cross_chunks(database: Database, offset: int, length: int | None) -> None:
    """A resumed download would be spliced wrongly if ranges were not exact."""
    data = _random(2 * CHUNK_BYTES + 100)
    store = SqlBlobStore(database)
    blob = store.put_bytes("mer_a", data)
    end = len(data) if length is None else offset + length
    pieces = list(store.read("mer_a", blob.sha256, offset, length))
    assert b"".join(pieces) == data[offset:end]
    assert all(len(piece) <= CHUNK_BYTES for piece in pieces)


def test_the_same_bytes_are_stored_once_in_a_scope(database: Database) -> None:
    """Storage would grow with every retry of the same upload."""
    store = SqlBlobStore(database)
    first, second = store.put_bytes("mer_a", b"mug"), store.put_bytes("mer_a", b"mug")
    assert first == second
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 1


def test_nothing_crosses_scopes(database: Database) -> None:
    """A merchant who knows a hash must not learn that another merchant holds those bytes."""
    store = SqlBlobStore(database)
    blob = store.put_bytes("mer_a", b"secret product")
    assert store.find("mer_b", blob.sha256) is None
    with pytest.raises(BlobNotFoundError):
        store.read("mer_b", blob.sha256)


def test_an_interrupted_upload_is_completed_by_the_next(database: Database) -> None:
    """A worker that dies between two chunks must not leave a blob that can be half read."""
    data = _random(CHUNK_BYTES + 10)
    store = SqlBlobStore(database)
    blob = store.put_bytes("mer_a", data)
    with database.write() as session:
        session.execute(delete(Blob))
        session.execute(delete(BlobChunk).where(BlobChunk.seq == 1))
    assert store.find("mer_a", blob.sha256) is None
    store.put_bytes("mer_a", data)
    assert b"".join(store.read("mer_a", blob.sha256)) == data
