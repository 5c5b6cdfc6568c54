"""Files out: blob ranges concatenated as they stream, with ranges, ETags and a checked hash.

No database session is held while bytes flow.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple

from flask import Response, request

from core.blobs import CHUNK_BYTES, BlobCorruptError, BlobStore
from core.refusals import RefusedError
from db.repositories.models import StoredFile
from regraft.contract.errors import ErrorCode

OCTETS = "application/octet-stream"
PIECE_BYTES = 64 * 1024  # a client must read one in the server's idle time
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


class Span(NamedTuple):
    """Bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


def download(blobs: BlobStore, file: StoredFile, kind: str = OCTETS) -> Response:
    """Return a file or one range of it, with validators; raises `range_not_satisfiable`."""
    if sum(segment.length for segment in file.segments) != file.size:
        raise BlobCorruptError(file.sha256)
    headers = _headers(file)
    if _matches(request.headers.get("If-None-Match"), headers["ETag"], weak=True):
        return Response(status=304, headers=headers)
    span = _span(file.size, headers["ETag"])
    whole = Span(0, file.size)
    start, stop = span or whole
    headers["Content-Length"] = str(stop - start)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    content: Iterator[bytes] = iter(())
    if request.method != "HEAD":
        content = _part(blobs, file, span) if span else _whole(blobs, file)
    return Response(
        content,
        206 if span else 200,
        headers=headers,
        content_type=kind,
    )


def _headers(file: StoredFile) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    return {
        "ETag": f'"{file.sha256}"',
        "Digest": f"sha-256={digest}",
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{file.model_id}-{file.name}"',
        "Cache-Control": "private, no-cache",
    }


def _matches(given: str | None, etag: str, *, weak: bool) -> bool:
    """Compare a header of ETags with the file's own; only `If-None-Match` takes weak ones."""
    if given is None:
        return False
    tags = [tag.strip() for tag in given.split(",")]
    if weak:
        return "*" in tags or etag in [tag.removeprefix("W/") for tag in tags]
    return tags == [etag]


def _span(size: int, etag: str) -> Span | None:
    """Return the range that is asked for; None for the whole file, as for several ranges."""
    form = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if_range = request.headers.get("If-Range")
    if form is None or (if_range is not None and not _matches(if_range, etag, weak=False)):
        return None
    first, last = form.groups()
    if not first and not last:
        return None
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise RefusedError(
            ErrorCode.RANGE_NOT_SATISFIABLE,
            f"The file has {size} bytes.",
            "Range",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return Span(start, stop)


def _whole(blobs: BlobStore, file: StoredFile) -> Iterator[bytes]:
    """Return the file's pieces; damage breaks the connection before the last piece is sent."""
    pieces = _checked(_part(blobs, file, Span(0, file.size)), file.sha256)
    if file.size <= CHUNK_BYTES:
        return iter(list(pieces))
    return pieces


def _checked(pieces: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    held = b""
    for piece in pieces:
        digest.update(piece)
        if held:
            yield held
        held = piece
    if digest.hexdigest() != sha256:
        raise BlobCorruptError(sha256)
    yield held


def _part(blobs: BlobStore, file: StoredFile, span: Span) -> Iterator[bytes]:
    at = 0
    for segment in file.segments:
        start = max(span.start - at, 0)
        stop = min(span.stop - at, segment.length)
        if start < stop:
            offset = segment.offset + start
            for chunk in blobs.read(segment.scope, segment.sha256, offset, stop - start):
                yield from (
                    chunk[at : at + PIECE_BYTES] for at in range(0, len(chunk), PIECE_BYTES)
                )
        at += segment.length
