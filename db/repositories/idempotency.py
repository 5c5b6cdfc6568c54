"""Requests that may be repeated: the first answer is kept with what it created, and replayed.

An answer lives 24 hours and belongs to one tenant, one route and one key.
"""

import uuid
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.refusals import RefusedError
from db.base import now
from db.models import Idempotency
from db.session import Database
from db.tenancy import scoped
from regraft.contract.errors import ErrorCode

Transaction: TypeAlias = Session
KEPT_SECONDS = 24 * 3600.0
_TEXT = "text"  # as text, since PostgreSQL's JSONB would put the fields in another order


class Answer(NamedTuple):
    """What a request was answered: HTTP status, and JSON as text, to the byte."""

    status: int
    body: str


class Claim(NamedTuple):
    """A repeatable request: its route, the client's key and the hash of what it asks."""

    route: str
    key: str
    request_sha256: str


def once(
    database: Database, tenant_id: str, claim: Claim | None, create: Callable[[Transaction], Answer]
) -> Answer:
    """Run `create` in one transaction, or return the answer that the same request got before.

    Of requests that come at once, one creates; the others' work is undone by the unique
    constraint and they read its answer. Raises `RefusedError` if the key was used for another
    request.
    """
    if claim is None:
        with database.write() as session:
            return create(session)
    try:
        return _first(database, tenant_id, claim, create)
    except IntegrityError:
        answer = first_answer(database, tenant_id, claim)
        if answer is None:
            raise
        return answer


def first_answer(database: Database, tenant_id: str, claim: Claim | None) -> Answer | None:
    """Return the answer that this request got before, if any."""
    if claim is None:
        return None
    with database.read() as session:
        return _find(session, tenant_id, claim)


def _first(
    database: Database, tenant_id: str, claim: Claim, create: Callable[[Transaction], Answer]
) -> Answer:
    with database.write() as session:
        answer = _find(session, tenant_id, claim)
        if answer is None:
            _forget(session, tenant_id, claim)
            answer = create(session)
            _keep(session, tenant_id, claim, answer)
        return answer


def _find(session: Session, tenant_id: str, claim: Claim) -> Answer | None:
    row = session.scalar(
        scoped(Idempotency, tenant_id).where(
            Idempotency.route == claim.route,
            Idempotency.key == claim.key,
            Idempotency.expires_at > now(),
        )
    )
    if row is None:
        return None
    if row.request_sha256 != claim.request_sha256:
        raise RefusedError(
            ErrorCode.IDEMPOTENCY_MISMATCH,
            "This Idempotency-Key was used for another request.",
            "Idempotency-Key",
        )
    return Answer(row.response_status, str(row.response_body[_TEXT]))


def _forget(session: Session, tenant_id: str, claim: Claim) -> None:
    """Make room where the same key's answer has expired."""
    session.execute(
        delete(Idempotency).where(
            Idempotency.tenant_id == tenant_id,
            Idempotency.route == claim.route,
            Idempotency.key == claim.key,
            Idempotency.expires_at <= now(),
        )
    )


def _keep(session: Session, tenant_id: str, claim: Claim, answer: Answer) -> None:
    session.add(
        Idempotency(
            id=uuid.uuid4().hex,
            tenant_id=tenant_id,
            route=claim.route,
            key=claim.key,
            request_sha256=claim.request_sha256,
            response_status=answer.status,
            response_body={_TEXT: answer.body},
            expires_at=now() + KEPT_SECONDS,
        )
    )
    session.flush()
