"""What the watch sees, and that every failure tells its user what to do."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import finish, requeue, slots
from db.lifecycle.claim import Claim
from db.lifecycle.watch import look
from db.models import Job, Tenant
from db.session import Database
from regraft.contract.errors import RECORDS, ErrorCode, JobError
from tests.db.lifecycle.conftest import Take
from tests.support.jobs import job, submit
from tests.support.merchants import Merchant


def _set(database: Database, job_id: str, **values: object) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def test_jobs_that_wait_beside_free_slots_are_seen(
    database: Database, acme: Merchant, queued: str, slot: str, take: Take
) -> None:
    """Workers that went deaf would be noticed by merchants, a day later."""
    _set(database, queued, run_after=now() - 100)
    assert 99 < look(database, overdue=1).waited < 110
    with database.write() as session:
        session.execute(update(Tenant).where(Tenant.id == acme.tenant_id).values(max_running=1))
    assert look(database, overdue=1).waited == 0
    with database.write() as session:
        session.execute(update(Tenant).where(Tenant.id == acme.tenant_id).values(max_running=None))
        slots.register(session, slot, device_class="cpu", lease=-1)
    assert look(database, overdue=1).waited == 0


def test_dead_leases_are_seen(
    database: Database, acme: Merchant, dataset: str, queued: str, take: Take
) -> None:
    """A reaper that hangs would leave jobs running for ever."""
    take(queued)
    take(submit(database, acme.tenant_id, dataset), lease=-100)
    assert look(database, overdue=10).expired == 1
    assert look(database, overdue=200).expired == 0


_LOST = JobError.of(ErrorCode.WORKER_LOST, "The worker stopped answering.")
_STALLED = JobError.of(ErrorCode.STALLED, "The trainer said nothing.")
_MEMORY = JobError.of(ErrorCode.OUT_OF_MEMORY, "Batch 1 does not fit.")
_FAILURES: dict[str, tuple[Callable[[Claim], Callable[[Session], object]], ErrorCode]] = {
    "lost": (
        lambda held: partial(requeue.lose, held=held, error=_LOST, max_losses=1),
        ErrorCode.WORKER_LOST,
    ),
    "stalled": (
        lambda held: partial(requeue.lose, held=held, error=_STALLED, max_losses=1),
        ErrorCode.STALLED,
    ),
    "retried": (
        lambda held: partial(requeue.retry, held=held, message="Busy.", max_retries=0),
        ErrorCode.INTERNAL,
    ),
    "failed": (
        lambda held: partial(finish.fail, held=held, error=_MEMORY),
        ErrorCode.OUT_OF_MEMORY,
    ),
}


@pytest.mark.parametrize("way", _FAILURES)
def test_every_failure_says_whose_it_is_and_what_to_do(
    database: Database, queued: str, take: Take, way: str
) -> None:
    """A merchant would read `failed`, and not know whether to pay, to wait or to change photos."""
    move, code = _FAILURES[way]
    held = take(queued)
    with database.write() as session:
        assert move(held)(session)
    error = job(database, queued).error
    assert error is not None
    record = RECORDS[code]
    assert (error["code"], error["class"]) == (code.value, record.error_class)
    assert (error["retryable"], error["remedy"]) == (record.retryable, record.remedy)
    assert error["remedy"]
    assert error["message"]


def test_every_code_has_its_record() -> None:
    """A code without one would fail its job a second time, while the failure is written."""
    for code in ErrorCode:
        error = JobError.of(code, "It failed.")
        assert error.remedy
        assert error.error_class


def test_minutes_count_over_all_attempts(database: Database, queued: str, take: Take) -> None:
    """A job that is paused every hour would run for ever."""
    held = take(queued)
    _set(database, queued, seconds_run=3590, claimed_at=now() - 20)
    with database.write() as session:
        requeue.pause(session, held)
    error = job(database, queued).error
    assert error is not None
    assert (error["code"], error["class"]) == ("deadline_exceeded", "quota")
