"""What every request passes before its route: its host's name, and its key's rate."""

import hashlib

from flask import g, request
from werkzeug.sansio.utils import host_is_trusted

from api.rates import Standing
from api.services import services
from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode

UNLIMITED = frozenset({"/healthz", "/readyz"})


def check() -> None:
    """Let a request in; raises `invalid_request` or `rate_limited`.

    The probes of a machine or a cluster come under any name, and always.
    """
    if request.path in UNLIMITED:
        return
    hosts = services().api.hosts
    given = request.environ.get("HTTP_HOST", "").lower()
    if hosts and not host_is_trusted(given, hosts):
        raise RefusedError(
            ErrorCode.INVALID_REQUEST, "The service is not known by the name in `Host`.", "Host"
        )
    standing = services().rates.take(_key())
    g.standing = standing
    if standing.wait:
        raise RefusedError(
            ErrorCode.RATE_LIMITED,
            f"More than {standing.limit} requests came at once with this key.",
            headers={"Retry-After": str(standing.wait)},
        )


def headers() -> dict[str, str]:
    """Return where the key stands, for every answer to a request that was counted."""
    standing: Standing | None = g.get("standing")
    if standing is None:
        return {}
    return {
        "RateLimit-Limit": str(standing.limit),
        "RateLimit-Remaining": str(standing.remaining),
        "RateLimit-Reset": str(standing.reset),
    }


def _key() -> bytes:
    """Return whose bucket to take from, before anybody knows whether the key is a good one.

    The whole key counts: with its public part alone a stranger could use up a merchant's rate.
    """
    given = request.headers.get("Authorization")
    text = f"key {given}" if given else f"address {request.remote_addr}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
