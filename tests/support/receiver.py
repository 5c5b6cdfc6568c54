"""A merchant's receiver of webhooks on loopback, with every bad habit that one can have."""

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = CERTIFICATES / "authority.pem"
NAME = "hooks.example.com"  # what the certificate says
HABITS = ("ok", "error", "stall", "drip", "reset", "redirect", "huge", "gone")
_STALL_SECONDS = 60.0


class Heard(NamedTuple):
    """A call as it came in, and whether it was answered with a 2xx."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    accepted: bool

    @property
    def event_id(self) -> str:
        """The event's id."""
        return self.headers["webhook-id"]

    @property
    def subject(self) -> str:
        """The id of what the event is about."""
        return str(json.loads(self.body)["data"]["id"])


class Receiver:
    """A server whose `habit` may change at any time; `heard` is all that came."""

    def __init__(self, *, tls: bool = False) -> None:
        self.habit = "ok"
        self.heard: list[Heard] = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._tls = tls
        self._server = self._make(0)
        self.port = self._server.server_port
        self._run()

    def url(self, path: str = "/hooks") -> str:
        """Return the address of this receiver."""
        scheme, host = ("https", NAME) if self._tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.port}{path}"

    def stop(self) -> None:
        """Take no more calls: connections are refused."""
        self._ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def start(self) -> None:
        """Take calls again, on the same port."""
        self._ending = threading.Event()
        self._server = self._make(self.port)
        self._run()

    def accepted(self) -> list[Heard]:
        """Return the calls that were answered with a 2xx."""
        with self._lock:
            return [one for one in self.heard if one.accepted]

    def _make(self, port: int) -> ThreadingHTTPServer:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) == length:  # else whoever called was killed in the middle of it
                    receiver._answer(self, body)

            def do_GET(self) -> None:
                receiver._answer(self, b"")

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = _Server(("127.0.0.1", port), Handler)
        if self._tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATES / "server.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        return server

    def _run(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        habit = self.habit
        headers = {name.lower(): value for name, value in handler.headers.items()}
        accepted = habit in {"ok", "huge"}
        with self._lock:
            self.heard.append(Heard(handler.path, headers, body, accepted))
        with contextlib.suppress(OSError):
            getattr(self, f"_{habit}")(handler)

    def _ok(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(204)
        handler.end_headers()

    def _error(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(500)

    def _gone(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_error(410)

    def _stall(self, _handler: BaseHTTPRequestHandler) -> None:
        self._ending.wait(_STALL_SECONDS)

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a head that never ends, a byte at a time."""
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self._ending.wait(0.05):
            handler.wfile.write(b"x")

    def _reset(self, handler: BaseHTTPRequestHandler) -> None:
        linger = struct.pack("ii", 1, 0)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        handler.connection.close()

    def _redirect(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"http://127.0.0.1:{self.port}/inside")
        handler.end_headers()

    def _huge(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer 200 with a gigabyte."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(2**30))
        handler.end_headers()
        for _ in range(2**14):
            handler.wfile.write(bytes(2**16))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no news."""


@contextmanager
def receiver(*, tls: bool = False) -> Iterator[Receiver]:
    """Yield a receiver that runs; it is gone afterwards."""
    made = Receiver(tls=tls)
    try:
        yield made
    finally:
        made.stop()
