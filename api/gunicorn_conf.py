"""gunicorn's settings: threads, limits, and JSON where it would answer HTML by itself."""

import contextlib
import socket

import gunicorn.util

from api.settings import ApiSettings
from regraft.contract.errors import ErrorBody, ErrorEnvelope

_API = ApiSettings()
_UNAVAILABLE = 500

bind = _API.bind
worker_class = "gthread"
workers = _API.workers
threads = _API.threads
timeout = 60
graceful_timeout = 30
keepalive = 5
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
# It would lie in the home folder, and two stacks of one user would share it.
control_socket_disable = True


def _write_error(sock: socket.socket, status_int: int, reason: str, _mesg: str) -> None:
    """Answer a request that never reached the application, in the contract's envelope."""
    body = ErrorEnvelope(
        error=ErrorBody(
            type="service_error" if status_int >= _UNAVAILABLE else "invalid_request",
            code="internal" if status_int >= _UNAVAILABLE else "invalid_request",
            message=f"{reason}.",
        )
    ).model_dump_json()
    head = (
        f"HTTP/1.1 {status_int} {reason}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with contextlib.suppress(OSError):
        sock.sendall((head + body).encode("latin-1", "replace"))


gunicorn.util.write_error = _write_error
