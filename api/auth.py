"""From the `Authorization` header to the caller; the only place where a tenant comes from."""

from flask import request

from api.services import services
from core.refusals import RefusedError
from db.repositories import keys
from db.repositories.keys import Caller
from regraft.contract.errors import ErrorCode

NOBODY = Caller("", "", "", ())
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="regraft"'}


def caller(scope: str | None) -> Caller:
    """Return who asks, or `NOBODY` where no scope is needed.

    Raises `unauthenticated`, the same for every kind of useless key, or `insufficient_scope`.
    """
    if scope is None:
        return NOBODY
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    found = None
    if kind.lower() == "bearer":
        found = keys.authenticate(services().system, key.strip())
    if found is None:
        raise RefusedError(
            ErrorCode.UNAUTHENTICATED, "A valid API key is needed.", headers=_CHALLENGE
        )
    if scope not in found.scopes:
        raise RefusedError(ErrorCode.INSUFFICIENT_SCOPE, f"This needs a key with scope `{scope}`.")
    return found
