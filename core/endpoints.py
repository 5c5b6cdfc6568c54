"""A merchant's address for webhooks: taken apart once, and refused where it leads inside.

What a name resolves to is asked when it is called (`worker.control.post`), never on a request's
path. May import core and regraft.contract.
"""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from core.addresses import Address, is_public, parsed
from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode

PORTS = {"https": 443, "http": 80}
_ALLOWED_PORTS = frozenset({443, 8443})
_SHOWN = re.compile(r"[!-~]+")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INSIDE = frozenset({"localhost", "local", "internal", "intranet", "lan", "home", "corp", "arpa"})
_LONGEST_NAME = 253
_LONGEST_PORT = 65535


class Endpoint(NamedTuple):
    """An address taken apart; `host` is a name or an address without brackets."""

    scheme: str
    host: str
    port: int
    target: str


def parse(url: str, *, allow_private: bool = False) -> Endpoint:
    """Return the parts of an address that may be called.

    Raises `RefusedError`: `webhook_url_invalid` for what is no https address of a server, and
    `webhook_url_forbidden` for one that leads inside. In development private ones are allowed.
    """
    found = _parts(url)
    schemes = PORTS if allow_private else {"https"}
    if found.scheme not in schemes:
        raise _invalid("must begin with https://")
    if not allow_private and found.port not in _ALLOWED_PORTS:
        raise _invalid("must use port 443 or 8443")
    if not allow_private:
        _require_outside(found.host)
    return found


def _parts(url: str) -> Endpoint:
    if not _SHOWN.fullmatch(url) or "\\" in url or "#" in url:
        raise _invalid("must be printable ASCII without spaces, backslashes or a fragment")
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise _invalid("is no address") from error
    if "@" in split.netloc:
        raise _invalid("must hold no user name or password")
    scheme, host = split.scheme.lower(), (split.hostname or "").lower()
    if scheme not in PORTS:
        raise _invalid("must begin with https://")
    if not _is_host(host, bracketed="[" in split.netloc):
        raise _invalid("must name a server")
    port = PORTS[scheme] if port is None else port
    if not 0 < port <= _LONGEST_PORT:
        raise _invalid("must have a port from 1 to 65535")
    target = (split.path or "/") + (f"?{split.query}" if split.query else "")
    return Endpoint(scheme, host, port, target)


def _is_host(host: str, *, bracketed: bool) -> bool:
    if bracketed:
        return parsed(host) is not None and ":" in host
    labels = host.split(".")
    return len(host) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in labels)


def _require_outside(host: str) -> None:
    """Refuse what can be told without asking anybody that it leads inside."""
    address: Address | None = parsed(host)
    if address is not None:
        if not is_public(address):
            raise _forbidden("must be a public address")
        return
    last = host.rpartition(".")[2]
    # `127.1`, `2130706433` and `0x7f000001` are 127.0.0.1 to a resolver.
    if _NUMERIC.fullmatch(last):
        raise _forbidden("must be a name, or an address in its usual spelling")
    if last == host or last in _INSIDE:
        raise _forbidden("must be a public name")


def _invalid(message: str) -> RefusedError:
    return RefusedError(ErrorCode.WEBHOOK_URL_INVALID, f"The address {message}.", "url")


def _forbidden(message: str) -> RefusedError:
    return RefusedError(ErrorCode.WEBHOOK_URL_FORBIDDEN, f"The address {message}.", "url")
