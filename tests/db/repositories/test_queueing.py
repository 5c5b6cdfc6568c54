"""The queue as one merchant sees it, and nothing of the others but totals."""

from sqlalchemy import update

from db.lifecycle import slots
from db.lifecycle.claim import claim
from db.models import Tenant
from db.repositories import jobs, queueing
from db.repositories.queueing import Place, Share
from db.session import Database
from regraft.contract.ids import new_id
from tests.support.jobs import job, ready_dataset, submit
from tests.support.merchants import Merchant


def _slot(database: Database) -> str:
    slot_id = new_id("slot")
    with database.write() as session:
        slots.register(session, slot_id, device_class="cpu", lease=60)
    return slot_id


def _take(database: Database, job_id: str, slot: str) -> None:
    with database.write() as session:
        assert claim(session, job_id, slot_id=slot, device_class="cpu", lease=60)


def _place(database: Database, merchant: Merchant, job_id: str) -> Place | None:
    with database.read() as session:
        return jobs.show(session, merchant.tenant_id, job_id).place


def _share(database: Database, merchant: Merchant) -> Share:
    with database.read() as session:
        return queueing.share(session, merchant.tenant_id, "cpu")


def test_a_place_follows_fairness(database: Database, acme: Merchant, zenith: Merchant) -> None:
    """A merchant would be told that a crowd of 30 goes before its only job."""
    theirs = ready_dataset(database, zenith.tenant_id)
    crowd = [submit(database, zenith.tenant_id, theirs) for _ in range(30)]
    slot = _slot(database)
    _take(database, crowd[0], slot)
    mine = submit(database, acme.tenant_id, ready_dataset(database, acme.tenant_id))
    first, last = _place(database, acme, mine), _place(database, zenith, crowd[-1])
    assert first is not None
    assert last is not None
    assert (first.jobs_ahead, last.jobs_ahead) == (0, 29)
    assert _place(database, zenith, crowd[0]) is None
    # One device, one job under way: next after a typical minute, the last after thirty.
    created = job(database, mine).created_at
    assert first.starts_at is not None
    assert last.starts_at is not None
    assert 55 < first.starts_at - created < 75
    assert 1795 < last.starts_at - created < 1815


def test_nobody_can_tell_when_without_a_device(database: Database, acme: Merchant) -> None:
    """A merchant would wait for a time that no worker will keep."""
    mine = submit(database, acme.tenant_id, ready_dataset(database, acme.tenant_id))
    assert _place(database, acme, mine) == Place(0, None)


def test_a_share_says_why(database: Database, acme: Merchant, zenith: Merchant) -> None:
    """A merchant would see its job wait and not learn what for."""
    assert "nothing waiting" in _share(database, acme).why
    mine, theirs = (ready_dataset(database, it.tenant_id) for it in (acme, zenith))
    ids = [submit(database, acme.tenant_id, mine) for _ in range(3)]
    assert "No worker" in _share(database, acme).why
    slot = _slot(database)
    assert "free" in _share(database, acme).why
    _take(database, ids[0], slot)
    assert "job of yours" in _share(database, acme).why
    for _ in range(7):
        submit(database, zenith.tenant_id, theirs)
    with database.write() as session:
        session.execute(update(Tenant).where(Tenant.id == zenith.tenant_id).values(weight=3))
    found = _share(database, acme)
    assert (found.running, found.queued, found.queued_in_all, found.devices) == (1, 2, 9, 1)
    assert (found.weight, found.share) == (1, 0.25)
    assert "25%" in found.why
    assert zenith.name not in str(found)
    assert zenith.tenant_id not in str(found)
    with database.write() as session:
        session.execute(update(Tenant).where(Tenant.id == acme.tenant_id).values(max_running=1))
    assert "quota" in _share(database, acme).why
