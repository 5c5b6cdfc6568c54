"""Repeated requests: one effect, one answer, and keys that do not mix."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update

from core.refusals import RefusedError
from db.base import now
from db.models import Idempotency, Tenant
from db.repositories.idempotency import Answer, Claim, Transaction, first_answer, once
from db.session import Database
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from tests.support.merchants import Merchant

CLAIM = Claim("POST /v1/things", "key-1", "a" * 64)


def _creates(name: str) -> Callable[[Transaction], Answer]:
    def create(session: Transaction) -> Answer:
        thing = new_id("mer")
        session.add(Tenant(id=thing, name=name))
        session.flush()
        return Answer(202, thing)

    return create


def _count(database: Database, name: str) -> int:
    with database.read() as session:
        query = select(func.count()).select_from(Tenant).where(Tenant.name == name)
        return session.scalar(query) or 0


def test_the_first_answer_is_replayed(database: Database, acme: Merchant) -> None:
    """A client that repeats after a lost answer would pay for two jobs."""
    first = once(database, acme.tenant_id, CLAIM, _creates("thing"))
    assert once(database, acme.tenant_id, CLAIM, _creates("thing")) == first
    assert first_answer(database, acme.tenant_id, CLAIM) == first
    assert _count(database, "thing") == 1


def test_another_request_with_the_same_key_is_refused(database: Database, acme: Merchant) -> None:
    """A bug in a client's key would silently give it the answer to another question."""
    once(database, acme.tenant_id, CLAIM, _creates("thing"))
    with pytest.raises(RefusedError) as caught:
        once(database, acme.tenant_id, CLAIM._replace(request_sha256="b" * 64), _creates("x"))
    assert caught.value.code is ErrorCode.IDEMPOTENCY_MISMATCH
    assert _count(database, "x") == 0


def test_keys_belong_to_a_tenant_and_a_route(
    database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """Two merchants who both count 1, 2, 3 would get each other's answers."""
    answers = {
        once(database, tenant, claim, _creates("thing")).body
        for tenant in (acme.tenant_id, zenith.tenant_id)
        for claim in (CLAIM, CLAIM._replace(route="POST /v1/others"), CLAIM._replace(key="2"))
    }
    assert len(answers) == 6


def test_without_a_key_every_request_counts(database: Database, acme: Merchant) -> None:
    """Two intended uploads would become one."""
    for _ in range(2):
        once(database, acme.tenant_id, None, _creates("thing"))
    assert first_answer(database, acme.tenant_id, None) is None
    assert _count(database, "thing") == 2


def test_an_answer_is_forgotten_after_a_day(database: Database, acme: Merchant) -> None:
    """A client that reuses yesterday's keys would never get anything new."""
    first = once(database, acme.tenant_id, CLAIM, _creates("thing"))
    with database.write() as session:
        session.execute(update(Idempotency).values(expires_at=now() - 1))
    assert first_answer(database, acme.tenant_id, CLAIM) is None
    assert once(database, acme.tenant_id, CLAIM, _creates("thing")) != first


def test_a_failed_request_is_not_kept(database: Database, acme: Merchant) -> None:
    """A refusal would be final, although the merchant has mended the cause."""

    def fails(session: Transaction) -> Answer:
        _creates("thing")(session)
        raise RefusedError(ErrorCode.CONFLICT, "not now")

    with pytest.raises(RefusedError):
        once(database, acme.tenant_id, CLAIM, fails)
    assert _count(database, "thing") == 0
    assert once(database, acme.tenant_id, CLAIM, _creates("thing")).status == 202


def test_two_that_meet_in_the_middle_create_one(database: Database, acme: Merchant) -> None:
    """Two retries that both found nothing would both create, or one would be a fault of ours."""
    middle = threading.Barrier(2)

    def create(session: Transaction) -> Answer:
        # SQLite lets one writer in at a time, so there they never meet.
        with contextlib.suppress(threading.BrokenBarrierError):
            middle.wait(0.5)
        return _creates("thing")(session)

    with ThreadPoolExecutor(2) as pool:
        answers = {
            pending.result(10)
            for pending in [
                pool.submit(once, database, acme.tenant_id, CLAIM, create) for _ in range(2)
            ]
        }
    assert len(answers) == 1
    assert _count(database, "thing") == 1


def test_fifty_at_once_create_one(database: Database, acme: Merchant) -> None:
    """An impatient client with retries would start fifty trainings."""
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: once(database, acme.tenant_id, CLAIM, _creates("thing")), range(50))
        )
    assert len({str(answer) for answer in answers}) == 1
    assert _count(database, "thing") == 1
