"""Files as lists of blob ranges, their sizes, hashes and checksums computed once.

May import the engine's messages and the standard library.
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from worker.engine.files import file_hash, write_whole
from worker.engine.messages import BlobRef, Produced, ProducedFile, Segment

_CHUNK = 1 << 20


class Piece(NamedTuple):
    """A range of a blob, in bytes."""

    blob: BlobRef
    offset: int
    length: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes, at most 1 MiB at a time."""
        left = self.length
        with self.blob.path.open("rb") as source:
            source.seek(self.offset)
            while left and (chunk := source.read(min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk


class ModelFile(NamedTuple):
    """A file of the model, known whole: size in bytes, sha256 and CRC-32."""

    name: str
    pieces: list[Piece]
    size: int
    sha256: str
    crc32: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the file's bytes."""
        for piece in self.pieces:
            yield from piece.chunks()


class Blobs:
    """The blobs of one model; small ones are written into `folder`, named by their hash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._refs: dict[tuple[str, bool], BlobRef] = {}

    def keep(self, content: bytes) -> Piece:
        """Store bytes that belong to this model alone."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self._folder / sha256
        if not path.exists():
            write_whole(path, [content])
        return self._whole(BlobRef(path=path, sha256=sha256, size=len(content)))

    def refer(self, path: Path, shared: bool) -> Piece:
        """Refer to a file where it lies; a `shared` one depends on public data only."""
        sha256, size = file_hash(path), path.stat().st_size
        return self._whole(BlobRef(path=path, sha256=sha256, size=size, shared=shared))

    def _whole(self, ref: BlobRef) -> Piece:
        self._refs[ref.sha256, ref.shared] = ref
        return Piece(ref, 0, ref.size)

    def refs(self) -> list[BlobRef]:
        """Return every blob once."""
        return list(self._refs.values())


def model_file(name: str, pieces: Iterable[Piece]) -> ModelFile:
    """Return the file that `pieces` make, end to end, after reading it once."""
    pieces = [piece for piece in pieces if piece.length]
    digest, crc, size = hashlib.sha256(), 0, 0
    for piece in pieces:
        for chunk in piece.chunks():
            digest.update(chunk)
            crc = zlib.crc32(chunk, crc)
            size += len(chunk)
    return ModelFile(name, pieces, size, digest.hexdigest(), crc)


def produced(blobs: Blobs, files: Iterable[ModelFile]) -> Produced:
    """Return the message that tells a supervisor what to store."""
    return Produced(
        blobs=blobs.refs(),
        files=[
            ProducedFile(
                name=file.name,
                size=file.size,
                sha256=file.sha256,
                segments=[
                    Segment(
                        sha256=piece.blob.sha256,
                        shared=piece.blob.shared,
                        offset=piece.offset,
                        length=piece.length,
                    )
                    for piece in file.pieces
                ],
            )
            for file in files
        ],
    )


def compose(message: Produced, folder: Path) -> None:
    """Write every file of `message` whole into `folder`."""
    refs = {(ref.sha256, ref.shared): ref for ref in message.blobs}
    for file in message.files:
        pieces = [
            Piece(refs[part.sha256, part.shared], part.offset, part.length)
            for part in file.segments
        ]
        write_whole(folder / file.name, (chunk for piece in pieces for chunk in piece.chunks()))
