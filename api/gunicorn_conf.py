"""gunicorn's settings: threads, limits, and JSON where it would answer HTML by itself."""

import contextlib
import socket

import gunicorn.util

from api import refused
from api.settings import ApiSettings, faults
from core.safety import refuse_unsafe
from core.settings import settings

_API = ApiSettings()
refuse_unsafe(settings(), *faults(_API, settings()))

bind = _API.bind
worker_class = "api.connections.PatientWorker"
logger_class = "api.server_log.ServerLog"
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
    with contextlib.suppress(OSError):
        sock.sendall(refused.answer(status_int, reason))


gunicorn.util.write_error = _write_error
