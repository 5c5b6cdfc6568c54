"""The answer to a request that never reached the application, in the contract's envelope.

May import core and regraft.contract.
"""

import uuid
from http import HTTPStatus

from core.logs import logger
from regraft.contract.errors import RECORDS, ErrorBody, ErrorCode, ErrorEnvelope

_CODES = {
    HTTPStatus.REQUEST_TIMEOUT: ErrorCode.REQUEST_TIMEOUT,
    HTTPStatus.SERVICE_UNAVAILABLE: ErrorCode.UNAVAILABLE,
    HTTPStatus.INTERNAL_SERVER_ERROR: ErrorCode.INTERNAL,
}
_MESSAGES = {
    HTTPStatus.BAD_REQUEST: "The request is not well-formed HTTP.",
    HTTPStatus.REQUEST_TIMEOUT: "The request did not come in time.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The request's address is too long.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request's headers are too large.",
    HTTPStatus.NOT_IMPLEMENTED: "The request uses a transfer coding that is not taken.",
}


def answer(status: int, reason: str) -> bytes:
    """Return a whole HTTP answer that ends its connection; what was sent is not in it."""
    code = _CODES.get(HTTPStatus(status), ErrorCode.INVALID_REQUEST)
    request_id = f"req_{uuid.uuid4().hex}"
    server = code in {ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL}
    body = ErrorEnvelope(
        error=ErrorBody(
            type="service_error" if server else "invalid_request",
            code=code,
            message=_MESSAGES.get(HTTPStatus(status), f"{reason}."),
            remedy=RECORDS[code].remedy,
            request_id=request_id,
        )
    ).model_dump_json()
    logger("api.refused").warning("refused before routing", status=status, request_id=request_id)
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nX-Request-Id: {request_id}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n"
    )
    return (head + body).encode("latin-1", "replace")
