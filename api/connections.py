"""gunicorn's threaded worker, changed so that no thread ever waits for a slow client's head.

A connection gets a thread once its request's head is here, with its body if that is small; until
then, and while it is being closed, the worker's one poller holds it. What a larger body may take
is bounded by its progress. May import gunicorn, and of api its settings, services and refusals.
"""

import contextlib
import re
import socket
import time
from collections import deque
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

from api import refused
from api.services import NAME
from api.settings import SMALL_BODY, ApiSettings

_LONGEST_HEAD = 64 * 1024
_PIECE = 64 * 1024
_DRAIN_SECONDS = 0.05
_PARTING_SECONDS = 2.0
_PARTING_BYTES = 4 * 1024 * 1024
_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,5})[ \t]*\r\n", re.IGNORECASE)
_NOT_SENT_YET = re.compile(rb"\r\n(?:transfer-encoding|expect):", re.IGNORECASE)


class Arriving:
    """The first bytes of a request, up to all that must be here before a thread is given."""

    def __init__(self, start: bytes = b"") -> None:
        self.data = bytearray()
        self._needed: int | None = None
        self.add(start)

    def add(self, piece: bytes) -> None:
        """Take what came."""
        searched = max(0, len(self.data) - len(_END) + 1)
        self.data += piece
        if self._needed is None:
            end = self.data.find(_END, searched)
            if end >= 0:
                self._needed = end + len(_END) + _small_length(bytes(self.data[: end + 2]))

    @property
    def is_whole(self) -> bool:
        """Whether a thread would not have to wait for the client."""
        return self._needed is not None and len(self.data) >= self._needed

    @property
    def is_too_long(self) -> bool:
        """Whether this is more than any head that is taken."""
        return self._needed is None and len(self.data) > _LONGEST_HEAD


def _small_length(head: bytes) -> int:
    """Return the length of a small body that follows its head by itself; 0 for any other."""
    found = None if _NOT_SENT_YET.search(head) else _LENGTH.search(head)
    length = int(found.group(1)) if found else 0
    return length if length <= SMALL_BODY else 0


def _has_small_body(headers: list[tuple[str, str]]) -> bool:
    named = dict(headers)
    return "TRANSFER-ENCODING" not in named and int(named.get("CONTENT-LENGTH", 0)) <= SMALL_BODY


class PacedReader(SocketUnreader):  # type: ignore[misc]  # gunicorn is untyped
    """Reads a request's body; raises `TimeoutError` where the client is too far behind."""

    def __init__(self, sock: socket.socket, api: ApiSettings) -> None:
        super().__init__(sock)
        self._api = api
        self._since = 0.0
        self._count = 0

    def begin(self, start: bytes) -> None:
        """Begin a request whose first bytes came already; its time runs from now."""
        self.unread(start)
        self._since = time.monotonic()
        self._count = 0

    def hurry(self, seconds: float) -> None:
        """Wait no longer than this for the rest."""
        self._since = time.monotonic() + seconds - self._api.body_seconds
        self._count = 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return what the connection has next."""
        allowed = self._api.body_seconds + self._count / self._api.min_rate
        left = self._since + allowed - time.monotonic()
        if left <= 0:
            raise TimeoutError("the body comes too slowly")
        self.sock.settimeout(min(left, self._api.idle_seconds))
        try:
            piece: bytes = super().chunk(size_hint)
        finally:
            self.sock.settimeout(self._api.idle_seconds)
        self._count += len(piece)
        return piece


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is untyped
    """The worker class that `api/gunicorn_conf.py` names.

    All methods but `handle_request` and `_keepalive_after` run in the worker's main thread.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._api = ApiSettings()
        self._arriving: dict[TConn, Arriving] = {}
        self._parting: deque[TConn] = deque()
        self._drained: dict[TConn, int] = {}

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin to stop: live streams end, and their clients come back elsewhere."""
        self.wsgi.extensions[NAME].feed.stop()
        super().handle_exit(sig, frame)

    def enqueue_req(self, conn: TConn) -> None:
        """Gather a request's head without a thread, then give it one."""
        ahead = conn.parser.unreader.take_buffered() if conn.parser else b""
        self._arriving[conn] = Arriving(ahead)
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + self._api.head_seconds
        self.pending_conns.append(conn)
        readable = partial(self.on_pending_socket_readable, conn)
        self.poller.register(conn.sock, EVENT_READ, readable)
        self.on_pending_socket_readable(conn, conn.sock)

    def on_pending_socket_readable(self, conn: TConn, client: socket.socket) -> None:
        """Take what came, and give the request a thread, or an answer, once that can be told."""
        arriving = self._arriving[conn]
        ended = False
        if not arriving.is_whole:
            try:
                piece = client.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            ended = not piece
            arriving.add(piece)
        if arriving.is_too_long:
            self._forget(conn)
            self._refuse(conn, 431, "Request Header Fields Too Large")
        elif arriving.is_whole or (ended and arriving.data):
            self._forget(conn)
            self._serve(conn, bytes(arriving.data))
        elif ended:
            self._forget(conn)
            self._close(conn)

    def murder_pending(self) -> None:
        """Answer 408 to heads that took too long, and end what lingers; called every second."""
        now = time.monotonic()
        while self.pending_conns and self.pending_conns[0].timeout <= now:
            conn = self.pending_conns[0]
            began = self._forget(conn).data
            if began:
                self._refuse(conn, 408, "Request Timeout")
            else:
                self._close(conn)
        while self._parting and self._parting[0].timeout <= now:
            self._part(self._parting[0])

    def finish_request(self, conn: TConn, fs: "Future[bool]") -> None:
        """Keep a connection for its next request, or close it without waiting for the client."""
        kept = not fs.cancelled() and fs.exception() is None and fs.result()
        if kept:
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def handle_request(self, req: Any, conn: TConn) -> bool:
        """Serve one request; a client that does not read its answer is left.

        A large body may be refused unread, and the next request would begin within it: so its
        connection serves no other.
        """
        conn.sock.settimeout(self._api.idle_seconds)
        if not _has_small_body(req.headers):
            req.force_close()
        try:
            kept: bool = super().handle_request(req, conn)
        except TimeoutError:
            self.log.info("A client stopped reading its answer.")
            return False
        return kept

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Tell whether the connection can be used again: an unread body must be here already."""
        if not keepalive:
            return False
        conn.parser.unreader.hurry(_DRAIN_SECONDS)
        return bool(conn.parser.finish_body(deadline=time.monotonic() + _DRAIN_SECONDS))

    def _serve(self, conn: TConn, start: bytes) -> None:
        """Give a connection a thread; its request begins with these bytes."""
        if not conn.initialized:
            conn.init()
            conn.parser.unreader = PacedReader(conn.sock, self._api)
        conn.parser.unreader.begin(start)
        conn.data_ready = True
        super().enqueue_req(conn)

    def _refuse(self, conn: TConn, status: int, reason: str) -> None:
        """Answer in the contract's envelope; what does not fit into the socket's buffer is lost."""
        with contextlib.suppress(OSError):
            conn.sock.send(refused.answer(status, reason))
        self._linger(conn)

    def _forget(self, conn: TConn) -> Arriving:
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        return self._arriving.pop(conn)

    def _linger(self, conn: TConn) -> None:
        """Close only once the client has: a reset would take the answer from it (RFC 9112, 9.6)."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):
            self._close(conn)
            return
        conn.timeout = time.monotonic() + _PARTING_SECONDS
        self._drained[conn] = 0
        self._parting.append(conn)

    def _drain(self, conn: TConn, client: socket.socket) -> None:
        try:
            piece = client.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        self._drained[conn] += len(piece)
        if not piece or self._drained[conn] > _PARTING_BYTES:
            self._part(conn)

    def _part(self, conn: TConn) -> None:
        self.poller.unregister(conn.sock)
        self._parting.remove(conn)
        del self._drained[conn]
        self._close(conn)

    def _close(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()
