"""From what a run produced to stored blobs and the rows of its model.

Nothing that the trainer says is taken on trust: files are hashed again, ranges are measured.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from core.blobs import CHUNK_BYTES, SHARED_SCOPE
from db.lifecycle.finish import NewFile, Range
from worker.engine.messages import BlobRef, Produced, ProducedFile
from worker.supervisor.attempt import Attempt


class ProducedError(ValueError):
    """The files of a run are not what its trainer said of them."""


def publish(attempt: Attempt, produced: Produced) -> list[NewFile]:
    """Store the blobs of a run and return its files as ranges of them.

    Raises:
        ProducedError: a blob or a file has another hash or size than was said.
    """
    paths = {(blob.shared, blob.sha256): blob.path for blob in produced.blobs}
    for file in produced.files:
        _check_file(file, paths)
    for blob in produced.blobs:
        attempt.check(finishing=True)
        _store(attempt, blob)
    return [_as_ranges(attempt, file) for file in produced.files]


def _store(attempt: Attempt, blob: BlobRef) -> None:
    """Store one blob; for every tenant only what really has the hash that it is asked for by."""
    if hash_of(blob.path, blob.size) != blob.sha256:
        raise ProducedError(f"the blob {blob.sha256} has other bytes")
    scope = SHARED_SCOPE if blob.shared else attempt.claim.tenant_id
    stored = attempt.station.blobs.put_file(scope, blob.path)
    if stored != (blob.sha256, blob.size):
        raise ProducedError(f"the blob {blob.sha256} changed while it was stored")


def _check_file(file: ProducedFile, paths: dict[tuple[bool, str], Path]) -> None:
    digest = hashlib.sha256()
    size = 0
    for part in file.segments:
        path = paths.get((part.shared, part.sha256))
        if path is None:
            raise ProducedError(f"{file.name} has a part of a blob that was not produced")
        for piece in _pieces(path, part.offset, part.length):
            digest.update(piece)
            size += len(piece)
    if (size, digest.hexdigest()) != (file.size, file.sha256):
        raise ProducedError(f"{file.name} does not consist of its parts")


def _as_ranges(attempt: Attempt, file: ProducedFile) -> NewFile:
    tenant_id = attempt.claim.tenant_id
    ranges = [
        Range(SHARED_SCOPE if part.shared else tenant_id, part.sha256, part.offset, part.length)
        for part in file.segments
    ]
    return NewFile(file.name, file.size, file.sha256, ranges)


def _pieces(path: Path, offset: int, length: int) -> Iterable[bytes]:
    with path.open("rb") as source:
        source.seek(offset)
        while length > 0 and (piece := source.read(min(CHUNK_BYTES, length))):
            length -= len(piece)
            yield piece


def hash_of(path: Path, size: int) -> str:
    """Return the hash of a file's first `size` bytes."""
    digest = hashlib.sha256()
    for piece in _pieces(path, 0, size):
        digest.update(piece)
    return digest.hexdigest()
