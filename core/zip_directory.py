"""Both ends of a zip file, looked at before anything is parsed at length.

What is found here is where `zipfile` and a reader that follows the offsets must agree.
May import the standard library, core and regraft.contract.
"""

import struct
import zipfile
from typing import BinaryIO

from core.manifest import ArchiveError
from core.settings import UploadLimits
from regraft.contract.errors import ErrorCode

RECORD_BUDGET = 1024  # bytes of central directory for each entry, names and extra fields included
_LOCAL_MAGIC = b"PK\x03\x04"
_END_MAGIC = b"PK\x05\x06"
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_RECORD = struct.Struct("<4s24x3H12x")
_RECORD_MAGIC = b"PK\x01\x02"
_MAX_COMMENT = 65_535


def check_container(source: BinaryIO, limits: UploadLimits) -> None:
    """Look at both ends of the file before anything is parsed at length."""
    magic = source.read(4)
    if magic == _END_MAGIC:
        raise ArchiveError(ErrorCode.DATASET_INVALID, "The zip is empty.")
    if magic != _LOCAL_MAGIC:
        raise ArchiveError(ErrorCode.DATASET_INVALID, "The file is not a zip.")
    start, size = _directory(source)
    if size > limits.max_entries * RECORD_BUDGET:
        raise ArchiveError(ErrorCode.TOO_MANY_ENTRIES, "The directory of the zip is too large.")
    _count_records(source, start, size, limits)
    source.seek(0)


def _directory(source: BinaryIO) -> tuple[int, int]:
    """Return where the central directory starts and its size, both as zipfile reads them.

    Raises `ArchiveError` where a reader that follows the offsets would see another directory.
    """
    size = source.seek(0, 2)
    from_byte = max(0, size - _MAX_COMMENT - _END.size)
    source.seek(from_byte)
    tail = source.read()
    at = len(tail) - _END.size
    if not (tail[-_END.size :].startswith(_END_MAGIC) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END_MAGIC)
    if at < 0:
        raise zipfile.BadZipFile("no end of central directory")
    directory: int = _END.unpack_from(tail, at)[5]
    end = from_byte + at
    locator = _read_at(source, end - _END64_LOCATOR.size, _END64_LOCATOR.size)
    if locator.startswith(b"PK\x06\x07"):
        end -= _END64_LOCATOR.size + _END64.size
        record = _read_at(source, end, _END64.size)
        if not record.startswith(b"PK\x06\x06") or _END64_LOCATOR.unpack(locator)[2] != end:
            raise ArchiveError(
                ErrorCode.DATASET_INVALID, "The zip's end does not say where its directory is."
            )
        directory = _END64.unpack(record)[8]
    return end - directory, directory


def _read_at(source: BinaryIO, start: int, size: int) -> bytes:
    """Return so many bytes from there, none if they begin before the file does."""
    if start < 0:
        return b""
    source.seek(start)
    return source.read(size)


def _count_records(source: BinaryIO, start: int, size: int, limits: UploadLimits) -> None:
    """Count the directory's records one by one: the number that the zip states binds nobody."""
    if start < 0:
        raise zipfile.BadZipFile("the central directory begins before the file")
    end, count = start + size, 0
    while start < end:
        magic, *lengths = _RECORD.unpack(_read_at(source, start, _RECORD.size))
        if magic != _RECORD_MAGIC:
            raise zipfile.BadZipFile("a record of the central directory is damaged")
        start += _RECORD.size + sum(lengths)
        count += 1
        if count > limits.max_entries:
            raise _too_many_entries(limits)


def _too_many_entries(limits: UploadLimits) -> ArchiveError:
    return ArchiveError(
        ErrorCode.TOO_MANY_ENTRIES, f"The zip holds over {limits.max_entries} entries."
    )
