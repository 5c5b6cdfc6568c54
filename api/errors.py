"""One handler for every failure: whatever is raised, the answer is the contract's envelope.

RefusedError (core.refusals)   a request we will not do: code, message, param
HTTPException (werkzeug)       a request that reached no route, or a body over its limit
database and disk errors       503 `unavailable` or 507 `storage_full`
anything else                  500 `internal`, logged with its trace, shown without it
"""

import errno

from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException

from api.services import services
from core.blobs import BlobCorruptError, BlobNotFoundError
from core.logs import logger
from core.refusals import RefusedError
from db.failures import code_of
from regraft.contract.errors import RECORDS, ErrorBody, ErrorCode, ErrorEnvelope

_BY_STATUS = {
    400: ErrorCode.INCOMPLETE_BODY,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
    413: ErrorCode.PAYLOAD_TOO_LARGE,
    415: ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    416: ErrorCode.RANGE_NOT_SATISFIABLE,
}
_MESSAGES = {
    400: "The request could not be read.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    413: "The request is larger than this route takes.",
}
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_UNAVAILABLE = 503
_SERVER_FAULT = 500


def register(app: Flask) -> None:
    """Make the handler answer for everything that the application raises."""
    app.register_error_handler(Exception, handle)


def handle(error: Exception) -> Response:
    """Return the envelope of any error; headers such as `Allow` and `Retry-After` come along."""
    refusal = as_refusal(error)
    response = Response(
        envelope(refusal).model_dump_json(by_alias=True),
        refusal.http_status,
        content_type="application/json",
    )
    response.headers.extend(refusal.headers)
    if refusal.http_status == _UNAVAILABLE:
        response.headers["Retry-After"] = str(services().api.retry_after)
    return response


def envelope(refusal: RefusedError) -> ErrorEnvelope:
    """Return the body that shows a refusal."""
    server = refusal.http_status >= _SERVER_FAULT
    return ErrorEnvelope(
        error=ErrorBody(
            type="service_error" if server else "invalid_request",
            code=refusal.code,
            message=refusal.message,
            param=refusal.param,
            remedy=RECORDS[refusal.code].remedy,
            request_id=g.get("request_id"),
            details=refusal.details,
        )
    )


def as_refusal(error: Exception) -> RefusedError:
    """Return what to show for an error; what is our own fault is logged here."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, HTTPException):
        return _of_http(error)
    code = code_of(error)
    if code is None and isinstance(error, OSError) and error.errno in _FULL:
        code = ErrorCode.STORAGE_FULL
    log = logger(__name__)
    if code is not None:
        log.warning("storage trouble", code=code.value, reason=type(error).__name__)
        return RefusedError(code, "The service cannot do this now.")
    if isinstance(error, BlobCorruptError | BlobNotFoundError):
        log.error("stored bytes do not match their hash", blob=str(error))
        return RefusedError(ErrorCode.ARTIFACT_CORRUPT, "The stored file is damaged.")
    log.error("request failed", exc_info=error)
    return RefusedError(ErrorCode.INTERNAL, "Something went wrong on our side.")


def _of_http(error: HTTPException) -> RefusedError:
    status = error.code or _SERVER_FAULT
    code = _BY_STATUS.get(status, ErrorCode.INTERNAL)
    if status not in _BY_STATUS:
        logger(__name__).error("unmapped HTTP error", status=status, exc_info=error)
    kept = ("Allow", "Content-Range")
    headers = {name: value for name, value in error.get_headers() if name in kept}
    return RefusedError(code, _MESSAGES.get(status, "The request failed."), headers=headers)
