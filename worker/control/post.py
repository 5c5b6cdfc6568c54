"""One call of a merchant's endpoint: the name is resolved once, and only what was checked is met.

The library connects through `_Pinned`, so that Host, SNI and the certificate are the name's while
the address is the one that was judged; every wait ends at one deadline. No redirect is followed,
no proxy asked, and of the answer only the status counts. May import core and httpcore2.
"""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import httpcore2

from core import endpoints
from core.addresses import is_public, parsed
from core.logs import logger
from core.refusals import RefusedError
from db.lifecycle.deliveries import Outcome

Resolve = Callable[[str, int], Iterable[str]]
FORBIDDEN, TIMED_OUT, UNREACHABLE = "address_forbidden", "timed_out", "unreachable"
UNRESOLVED, BROKEN, UNTRUSTED = "name_not_found", "connection_broken", "tls_failed"
_MOST_ADDRESSES = 4
_MOST_READ = 4096
_READ_SECONDS = 1.0
_log = logger(__name__)


class Rules(NamedTuple):
    """What a call may do: its time in seconds, whether it may go inside, whom TLS trusts."""

    timeout: float
    allow_private: bool
    trust: ssl.SSLContext


class _ForbiddenError(Exception):
    """The name leads to an address that nobody may be sent to."""


class _UnresolvedError(Exception):
    """The name leads nowhere."""


def trusted() -> ssl.SSLContext:
    """Return the certificates that this machine, or `SSL_CERT_FILE`, trusts."""
    return httpcore2.default_ssl_context()


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver has for a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def post(
    url: str, headers: Mapping[str, str], body: bytes, rules: Rules, ask: Resolve = resolve
) -> Outcome:
    """Send a body and return how that went; raises nothing that a receiver could cause."""
    started = time.monotonic()
    status, error = None, None
    try:
        status = _call(url, headers, body, rules, ask)
    except (_ForbiddenError, RefusedError):
        error = FORBIDDEN
    except _UnresolvedError:
        error = UNRESOLVED
    except httpcore2.TimeoutException:
        error = TIMED_OUT
    except httpcore2.ConnectError as failure:
        error = UNTRUSTED if isinstance(failure.__context__, ssl.SSLError) else UNREACHABLE
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError):
        error = BROKEN
    except Exception:  # noqa: BLE001 - see below
        # Whatever it was, it must count as an attempt, or the delivery would come back for ever.
        error = BROKEN
        _log.exception("a call failed in an unknown way")
    return Outcome(status, error, round(time.monotonic() - started, 3))


def _call(url: str, headers: Mapping[str, str], body: bytes, rules: Rules, ask: Resolve) -> int:
    deadline = time.monotonic() + rules.timeout
    endpoint = endpoints.parse(url, allow_private=rules.allow_private)
    addresses = _checked(endpoint, rules, ask)
    where = httpcore2.URL(
        scheme=endpoint.scheme, host=endpoint.host, port=endpoint.port, target=endpoint.target
    )
    request = httpcore2.Request(
        "POST", where, headers=_headers(endpoint, headers, body), content=body
    )
    connection = httpcore2.HTTPConnection(
        where.origin, ssl_context=rules.trust, network_backend=_Pinned(addresses, deadline)
    )
    with contextlib.closing(connection):
        response = connection.handle_request(request)
        _drain(response)
        return int(response.status)


def _checked(endpoint: endpoints.Endpoint, rules: Rules, ask: Resolve) -> list[str]:
    """Return the addresses of an endpoint; one that is not public forbids all of them."""
    try:
        found = [str(one) for one in ask(endpoint.host, endpoint.port)]
    except (OSError, UnicodeError) as error:
        raise _UnresolvedError(endpoint.host) from error
    if not found:
        raise _UnresolvedError(endpoint.host)
    judged = [parsed(text) for text in found]
    if not rules.allow_private and not all(one is not None and is_public(one) for one in judged):
        raise _ForbiddenError(endpoint.host)
    return found[:_MOST_ADDRESSES]


def _headers(
    endpoint: endpoints.Endpoint, given: Mapping[str, str], body: bytes
) -> list[tuple[bytes, bytes]]:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    usual = endpoints.PORTS[endpoint.scheme] == endpoint.port
    named = {
        "Host": host if usual else f"{host}:{endpoint.port}",
        "Accept": "*/*",
        "Connection": "close",
        "Content-Length": str(len(body)),
        **given,
    }
    return [(name.encode(), value.encode()) for name, value in named.items()]


def _drain(response: httpcore2.Response) -> None:
    """Take the beginning of the answer, so that a receiver is not cut off while it speaks."""
    pieces: Iterator[bytes] = iter(response.stream)  # type: ignore[arg-type]
    started, count = time.monotonic(), 0
    with contextlib.suppress(
        httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError
    ):
        for piece in pieces:
            count += len(piece)
            if count >= _MOST_READ or time.monotonic() - started > _READ_SECONDS:
                return


class _Pinned(httpcore2.NetworkBackend):
    """Connects to addresses that were checked, whatever host is asked for."""

    def __init__(self, addresses: list[str], deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._system = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,  # noqa: ARG002 - the addresses stand for it
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that answers."""
        *others, last = self._addresses
        for address in others:
            share = _left(self._deadline) / 2
            with contextlib.suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                stream = self._system.connect_tcp(
                    address, port, share, local_address, socket_options
                )
                return _Bounded(stream, self._deadline)
        left = _left(self._deadline)
        stream = self._system.connect_tcp(last, port, left, local_address, socket_options)
        return _Bounded(stream, self._deadline)


class _Bounded(httpcore2.NetworkStream):
    """A connection whose every wait ends at one deadline: a drip of bytes cannot prolong it."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        """Return what has come."""
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send all of it."""
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the deadline counts
    ) -> httpcore2.NetworkStream:
        """Return the connection inside TLS."""
        left = _left(self._deadline)
        return _Bounded(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection knows of itself."""
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    """Return the seconds until the deadline; raises the library's own time-out after it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout
    return left
