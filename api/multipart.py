"""A multipart body as events, whatever pieces it comes in.

Werkzeug's decoder (3.1.9) takes part of a delimiter for data where a piece ends just behind the
boundary: after `--boundary-` it adds the CR before it to the file, and within the padding that
may follow a boundary it adds the whole line. So such a piece's end is held for the next one.
"""

import re
from collections.abc import Iterator

from flask import request
from werkzeug.sansio.multipart import Event, MultipartDecoder, NeedData, State

from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode

_MOST_PADDING = 1024
_UNDECIDED = re.compile(rb"-?|[ \t\v\f]*")


class StreamDecoder:
    """Decodes a body of at most `max_parts` parts piece by piece."""

    def __init__(self, boundary: bytes, max_parts: int) -> None:
        self._decoder = MultipartDecoder(boundary, max_parts=max_parts)
        self._boundary = b"--" + boundary
        self._line = re.compile(re.escape(self._boundary) + rb"[ \t\v\f]*(?:\r\n|\r|\n)\Z")
        self._held = b""

    @property
    def is_over(self) -> bool:
        """Whether the closing boundary has come."""
        return self._decoder.state is State.EPILOGUE

    def events(self, piece: bytes) -> Iterator[Event]:
        """Yield what a piece makes; what follows the closing boundary makes nothing.

        Raises `ValueError` where the body is malformed.
        """
        if self.is_over:
            return
        held = self._held + piece
        end = self._decided(held)
        self._held = held[end:]
        self._decoder.receive_data(held[:end])
        while not isinstance(event := self._decoder.next_event(), NeedData):
            yield event

    def _decided(self, data: bytes) -> int:
        """Return up to where it is certain what is boundary and what is not."""
        at = max(data.rfind(b"\r"), data.rfind(b"\n"))
        line = data[at + 1 :]
        behind = line.removeprefix(self._boundary)
        if at < 0 or len(behind) > _MOST_PADDING or self._line.search(data):
            return len(data)
        begun = self._boundary.startswith(line)
        if begun or (line.startswith(self._boundary) and _UNDECIDED.fullmatch(behind)):
            return at - 1 if data[max(0, at - 1) : at + 1] == b"\r\n" else at
        return len(data)


def boundary() -> bytes:
    """Return the boundary that this request names.

    Raises `unsupported_media_type` for another kind of body, or `invalid_multipart`.
    """
    if request.mimetype != "multipart/form-data" or request.content_encoding:
        raise RefusedError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, "This route takes `multipart/form-data`."
        )
    found = request.mimetype_params.get("boundary", "")
    if not found or not found.isascii():
        raise invalid("The `Content-Type` names no boundary.")
    return found.encode()


def printable(name: str | None, most: int = 64) -> str:
    """Return the beginning of a part's name, fit to be shown."""
    return "".join(char if char.isprintable() else "?" for char in (name or "")[:most])


def invalid(message: str) -> RefusedError:
    """Return the refusal of a body that is no form."""
    return RefusedError(ErrorCode.INVALID_MULTIPART, message)
