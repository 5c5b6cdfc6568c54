"""`Idempotency-Key`: a POST that creates may be sent again and creates once."""

import hashlib
import json
from collections.abc import Callable

from flask import Response, request
from pydantic import BaseModel

from api.routing import Call
from core.refusals import InvalidError
from db.repositories import idempotency
from db.repositories.idempotency import Answer, Claim, Transaction
from db.session import Database

_HEADER = "Idempotency-Key"
_MAX_KEY = 255


def claim(asked: object) -> Claim | None:
    """Return what this request repeats, or None without a key; `asked` is its meaning as JSON."""
    key = request.headers.get(_HEADER)
    if key is None:
        return None
    if not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidError(_HEADER, f"must be 1 to {_MAX_KEY} printable ASCII characters")
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    route = f"{request.method} {request.path}"
    return Claim(route, key, hashlib.sha256(canonical.encode()).hexdigest())


def replayed(call: Call, repeat: Claim | None) -> Response | None:
    """Return the first answer to this request, if there was one."""
    answer = idempotency.first_answer(call.database, call.tenant_id, repeat)
    return None if answer is None else _response(answer)


def once(
    call: Call,
    repeat: Claim | None,
    status: int,
    create: Callable[[Transaction], BaseModel],
    database: Database | None = None,
) -> Response:
    """Create in one transaction and answer with `status`, or replay the first answer.

    The database is held to the caller's tenant, unless an administrator's is given.
    """

    def answered(session: Transaction) -> Answer:
        return Answer(status, create(session).model_dump_json(by_alias=True))

    held = database or call.database
    return _response(idempotency.once(held, call.tenant_id, repeat, answered))


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, content_type="application/json")
