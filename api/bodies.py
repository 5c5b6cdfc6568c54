"""Request bodies: read within a limit and a deadline, and JSON that means one thing only."""

from collections.abc import Iterator
from typing import Any

from flask import request
from werkzeug.exceptions import HTTPException

from api.settings import SMALL_BODY
from core import strict_json
from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode

_PIECE = 256 * 1024


def is_small() -> bool:
    """Tell whether the body cannot make a thread wait for its client: the server has it all."""
    length = request.content_length
    if length is None:
        return "Transfer-Encoding" not in request.headers
    return length <= SMALL_BODY


def pieces(limit: int) -> Iterator[bytes]:
    """Yield the body as it comes.

    Raises `payload_too_large` beyond `limit` bytes, `incomplete_body` where less comes than
    `Content-Length` says, `request_timeout` where it comes too slowly.
    """
    declared = request.content_length
    if declared is not None and declared > limit:
        raise _too_large(limit)
    request.max_content_length = limit + 1
    count = 0
    while piece := _read():
        count += len(piece)
        if count > limit:
            raise _too_large(limit)
        yield piece
    if declared is not None and count != declared:
        raise RefusedError(
            ErrorCode.INCOMPLETE_BODY, f"{count} bytes came of the {declared} announced."
        )


def read_json(limit: int) -> dict[str, Any]:
    """Return the body as one JSON object, of at most `limit` bytes.

    Raises `unsupported_media_type`, or `invalid_json` for whatever two readers could take
    for two things: repeated names, NaN, numbers beyond a double, broken UTF-8.
    """
    if request.mimetype != "application/json" or request.content_encoding:
        raise RefusedError(
            ErrorCode.UNSUPPORTED_MEDIA_TYPE, "This route takes plain `application/json`."
        )
    data = b"".join(pieces(limit))
    try:
        found = strict_json.parse(data)
    except strict_json.InvalidJsonError as error:
        raise RefusedError(ErrorCode.INVALID_JSON, f"The body {error}.") from error
    if not isinstance(found, dict):
        raise RefusedError(ErrorCode.INVALID_JSON, "The body must be one JSON object.")
    return found


def _read() -> bytes:
    """Return what the connection has; a broken chunk or a lost client is an incomplete body."""
    try:
        piece: bytes = request.stream.read(_PIECE)
    except Exception as error:
        if TimeoutError in {type(error), type(error.__context__)}:
            raise RefusedError(
                ErrorCode.REQUEST_TIMEOUT, "The body came too slowly, or stopped coming."
            ) from error
        if isinstance(error, HTTPException):
            raise
        raise RefusedError(ErrorCode.INCOMPLETE_BODY, "The body ended early.") from error
    return piece


def _too_large(limit: int) -> RefusedError:
    return RefusedError(ErrorCode.PAYLOAD_TOO_LARGE, f"The body is larger than {limit} bytes.")
