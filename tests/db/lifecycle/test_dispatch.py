"""Which jobs are hinted at, in which order, and what becomes of a hint that is lost."""

import pytest
from sqlalchemy import update

from db.base import now
from db.lifecycle import dispatch, slots
from db.models import Job
from db.session import Database
from regraft.contract.ids import new_id
from tests.db.lifecycle.conftest import Take
from tests.support.jobs import job, ready_dataset, submit
from tests.support.merchants import Merchant


def _ids(database: Database, redispatch: float = 30.0) -> list[str]:
    return [hint.job_id for hint in dispatch.mark(database, redispatch=redispatch)]


def test_hints_are_few(database: Database, acme: Merchant, dataset: str, slot: str) -> None:
    """Redis would fill with hints, and late priorities would change nothing."""
    jobs = [submit(database, acme.tenant_id, dataset) for _ in range(5)]
    assert _ids(database) == jobs[:2]
    assert _ids(database) == []


def test_a_crowd_hides_nobody(
    database: Database, acme: Merchant, zenith: Merchant, dataset: str, slot: str
) -> None:
    """A merchant who comes second would wait until the first is done."""
    crowd = [submit(database, acme.tenant_id, dataset) for _ in range(30)]
    other = submit(database, zenith.tenant_id, ready_dataset(database, zenith.tenant_id))
    assert _ids(database) == [crowd[0], other]


def test_nothing_is_hinted_without_a_free_slot(
    database: Database, queued: str, acme: Merchant, dataset: str, take: Take
) -> None:
    """Hints would pile up behind a training of two hours, out of fairness's reach."""
    take(queued)
    submit(database, acme.tenant_id, dataset)
    assert _ids(database) == []


def test_each_device_class_has_its_own_room(
    database: Database, queued: str, slot: str, acme: Merchant, dataset: str
) -> None:
    """A full GPU queue would stop the CPU jobs."""
    other = submit(database, acme.tenant_id, dataset)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == other).values(device_class="cuda"))
    assert _ids(database) == [queued]
    with database.write() as session:
        slots.register(session, new_id("slot"), device_class="cuda", lease=60)
    assert [
        (hint.job_id, hint.device_class) for hint in dispatch.mark(database, redispatch=30)
    ] == [(other, "cuda")]


def test_a_dead_slot_is_no_room(database: Database, queued: str, slot: str) -> None:
    """Hints would go to nobody."""
    with database.write() as session:
        slots.register(session, slot, device_class="cpu", lease=-1)
    assert _ids(database) == []


def test_a_lost_hint_is_sent_again(database: Database, queued: str, slot: str) -> None:
    """Wiping Redis would lose every queued job for ever."""
    assert _ids(database) == [queued]
    assert _ids(database) == []
    with database.write() as session:
        session.execute(update(Job).where(Job.id == queued).values(dispatched_at=now() - 31))
    assert _ids(database) == [queued]


def test_a_hint_that_failed_is_taken_back(database: Database, queued: str, slot: str) -> None:
    """A second of Redis trouble would cost half a minute."""
    hints = dispatch.mark(database, redispatch=30)
    with database.write() as session:
        dispatch.unmark(session, hints)
    assert job(database, queued).dispatched_at is None
    assert _ids(database) == [queued]


def test_taking_a_hint_back_spares_another_dispatchers(
    database: Database, queued: str, slot: str
) -> None:
    """Two dispatchers would undo each other's work."""
    hints = dispatch.mark(database, redispatch=30)
    again = dispatch.mark(database, redispatch=-1)
    assert [hint.job_id for hint in again] == [queued]
    with database.write() as session:
        dispatch.unmark(session, hints)
    assert job(database, queued).dispatched_at == again[0].dispatched_at


@pytest.mark.parametrize("field", ["run_after", "status"])
def test_what_may_not_start_is_not_hinted(
    database: Database, queued: str, slot: str, field: str
) -> None:
    """A job in its pause between retries would be tried at once."""
    value = now() + 60 if field == "run_after" else "paused"
    with database.write() as session:
        session.execute(update(Job).where(Job.id == queued).values({field: value}))
    assert _ids(database) == []
