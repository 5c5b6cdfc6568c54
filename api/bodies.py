"""Request bodies: read within a limit and a deadline, and JSON that means one thing only."""

import contextlib
import json
import math
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from flask import request
from werkzeug.exceptions import HTTPException

from api.services import services
from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode

_PIECE = 256 * 1024


def pieces(limit: int) -> Iterator[bytes]:
    """Yield the body as it comes.

    Raises `payload_too_large` beyond `limit` bytes, `incomplete_body` where less comes than
    `Content-Length` says or where it takes too long.
    """
    declared = request.content_length
    if declared is not None and declared > limit:
        raise _too_large(limit)
    request.max_content_length = limit + 1
    count = 0
    with _deadline(limit if declared is None else declared):
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
        found = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
        )
    except UnicodeDecodeError as error:
        raise _invalid("The body is not UTF-8.") from error
    except RecursionError as error:
        raise _invalid("The body is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise _invalid(f"The body is not JSON: {error.msg} at byte {error.pos}.") from error
    except ValueError as error:
        raise _invalid("The body holds a number that is too long.") from error
    if not isinstance(found, dict):
        raise _invalid("The body must be one JSON object.")
    return found


@contextmanager
def _deadline(expected: int) -> Iterator[None]:
    """Hang up on a body that stalls, or that comes more slowly than a person would wait for.

    Only the reading half is shut, so that the answer still says what went wrong.
    """
    connection = request.environ.get("gunicorn.socket")
    if connection is None:
        yield
        return
    api = services().api
    connection.settimeout(api.idle_seconds)
    timer = threading.Timer(api.body_seconds + expected / api.min_rate, _hang_up, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD)


def _read() -> bytes:
    """Return what the connection has; a broken chunk or a lost client is an incomplete body."""
    try:
        piece: bytes = request.stream.read(_PIECE)
    except HTTPException:
        raise
    except Exception as error:
        raise RefusedError(ErrorCode.INCOMPLETE_BODY, "The body ended early.") from error
    return piece


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _invalid("The body holds the same name twice in one object.")
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _invalid("The body holds a number that is too large.")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise _invalid(f"The body holds {name}, which is not JSON.")


def _invalid(message: str) -> RefusedError:
    return RefusedError(ErrorCode.INVALID_JSON, message)


def _too_large(limit: int) -> RefusedError:
    return RefusedError(ErrorCode.PAYLOAD_TOO_LARGE, f"The body is larger than {limit} bytes.")
