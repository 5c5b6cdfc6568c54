"""The hashes that a client sends with an upload, compared with what came.

`Content-Digest` is RFC 9530's, of the whole body, in SHA-256 or SHA-512 or both; of its other
algorithms none is safe. `X-Content-SHA256` is hex, of the file.
"""

import base64
import binascii
import hashlib
import re
from typing import Any

from flask import request

from core.refusals import InvalidError

_BODY, _FILE = "Content-Digest", "X-Content-SHA256"
_KNOWN = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_MEMBER = re.compile(r"([a-z0-9*_.-]+)=(?::([A-Za-z0-9+/=]*):)?", re.ASCII)

Hashes = dict[str, Any]


def asked_for() -> Hashes:
    """Return an empty hash for each algorithm of this request's `Content-Digest` that is known.

    Raises `validation_failed` where none is.
    """
    given = request.headers.get(_BODY)
    if given is None:
        return {}
    found = {name: _KNOWN[name]() for name in _named(given) if name in _KNOWN}
    if not found:
        raise InvalidError(_BODY, "must be `sha-256=:…:` or `sha-512=:…:`", "checksum_mismatch")
    return found


def check_body(hashes: Hashes) -> None:
    """Compare the hashes of the body with the header; raises `validation_failed`."""
    given = _named(request.headers.get(_BODY, ""))
    for name, digest in hashes.items():
        if given[name] != digest.digest():
            raise InvalidError(_BODY, f"is not the {name} of what came", "checksum_mismatch")


def check_file(sha256: str) -> None:
    """Compare the hash of the file with the header, where there is one."""
    given = request.headers.get(_FILE)
    if given is not None and given.strip().lower() != sha256:
        raise InvalidError(_FILE, "is not the SHA-256 of what came", "checksum_mismatch")


def _named(header: str) -> dict[str, bytes | None]:
    """Return each algorithm's bytes; None for what is no base64. The last one counts (RFC 9651)."""
    return {name: _decoded(value) for name, value in _MEMBER.findall(header)}


def _decoded(value: str) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return None
