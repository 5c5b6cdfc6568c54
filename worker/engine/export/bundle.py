"""A zip whose entries are stored as they are, so that its bytes are those of other files.

Format: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16; no zip64.
May import `segments` and the standard library.
"""

import struct
from collections.abc import Sequence

from worker.engine.export.segments import Blobs, ModelFile, Piece, model_file

_VERSION = 20
_UTF8_NAMES = 0x0800
_STORED = 0
_TIME, _DATE = 0, (1 << 5) | 1  # 1980-01-01 00:00, the same for every bundle
_UNIX = 3
_MODE = 0o100644 << 16
_LIMIT = 2**32 - 1


def bundle(name: str, files: Sequence[ModelFile], blobs: Blobs) -> ModelFile:
    """Return the zip of `files` as a file of segments: headers of its own, data of theirs.

    Raises:
        ValueError: the zip would be larger than 4 GiB.
    """
    headers: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for file in files:
        header = _local_header(file)
        headers.append(header)
        directory.append(_directory_entry(file, offset))
        offset += len(header) + file.size
    tail = b"".join(directory)
    if offset + len(tail) > _LIMIT:
        raise ValueError("the bundle would be larger than 4 GiB")
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(files), len(files), len(tail), offset, 0)
    own = blobs.keep(b"".join([*headers, tail, end]))
    return model_file(name, _interleaved(own, headers, files))


def _interleaved(own: Piece, headers: Sequence[bytes], files: Sequence[ModelFile]) -> list[Piece]:
    """Return header, data, header, data, ..., directory; headers and directory lie in `own`."""
    pieces: list[Piece] = []
    position = 0
    for header, file in zip(headers, files, strict=True):
        pieces += [Piece(own.blob, position, len(header)), *file.pieces]
        position += len(header)
    return [*pieces, Piece(own.blob, position, own.length - position)]


def _facts(file: ModelFile) -> bytes:
    """Return the fields that both headers share."""
    return struct.pack(
        "<5H3L2H",
        _VERSION,
        _UTF8_NAMES,
        _STORED,
        _TIME,
        _DATE,
        file.crc32,
        file.size,
        file.size,
        len(file.name.encode()),
        0,
    )


def _local_header(file: ModelFile) -> bytes:
    return b"PK\3\4" + _facts(file) + file.name.encode()


def _directory_entry(file: ModelFile, offset: int) -> bytes:
    made_by = struct.pack("<H", (_UNIX << 8) | _VERSION)
    place = struct.pack("<3H2L", 0, 0, 0, _MODE, offset)
    return b"PK\1\2" + made_by + _facts(file) + place + file.name.encode()
