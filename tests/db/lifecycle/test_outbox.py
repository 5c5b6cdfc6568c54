"""The outbox holds an event for each end, written or undone with the move itself."""

import contextlib

import pytest
from sqlalchemy import select

from core.queues import INGEST_CLASS
from db.lifecycle import finish, slots
from db.lifecycle.claim import claim
from db.lifecycle.finish import Ingested
from db.lifecycle.sweep import sweep
from db.models import JobEvent, WebhookDelivery
from db.repositories import webhooks
from db.repositories.audit import OPERATOR
from db.repositories.webhooks import Endpoint
from db.session import Database
from regraft.contract.errors import ErrorCode, JobError
from regraft.contract.ids import new_id
from regraft.contract.status import DatasetStatus
from tests.db.lifecycle.conftest import Take
from tests.support.jobs import upload
from tests.support.merchants import Merchant
from tests.support.webhooks import add, deliveries

URL = "https://hooks.example.com/"


class _Undone(Exception):  # noqa: N818 - raised on purpose
    pass


def test_a_move_that_is_undone_tells_nothing(
    database: Database, acme: Merchant, zenith: Merchant, queued: str, take: Take
) -> None:
    """A merchant would be told of a model that does not exist, or never of one that does."""
    webhook_id = add(database, acme.tenant_id, URL)
    other = add(database, zenith.tenant_id, URL)
    held = take(queued)
    error = JobError.of(ErrorCode.DIVERGED, "The loss is no number.")
    with contextlib.suppress(_Undone), database.write() as session:
        assert finish.fail(session, held, error)
        raise _Undone
    assert deliveries(database, webhook_id) == []
    with database.write() as session:
        assert finish.fail(session, held, error)
        assert not finish.fail(session, held, error)
    (told,) = deliveries(database, webhook_id)
    assert (told.type, told.subject) == ("job.failed", queued)
    with database.read() as session:
        ends = select(JobEvent.id).where(JobEvent.job_id == queued, JobEvent.fence == held.fence)
        assert told.event_id in set(session.scalars(ends))
    assert deliveries(database, other) == []


@pytest.mark.parametrize("status", ["ready", "invalid"])
def test_a_dataset_tells_of_its_ingest(
    database: Database, acme: Merchant, status: DatasetStatus
) -> None:
    """A shop would have to ask again and again whether its upload can be used."""
    webhook_id = add(database, acme.tenant_id, URL)
    dataset_id, job_id = upload(database, acme.tenant_id, {"a/b.jpg": b"x"})
    slot_id = new_id("slot")
    with database.write() as session:
        slots.register(session, slot_id, device_class=INGEST_CLASS, lease=60)
    with database.write() as session:
        taken = claim(session, job_id, slot_id=slot_id, device_class=INGEST_CLASS, lease=60)
    assert taken is not None
    with database.write() as session:
        assert finish.succeed_ingest(session, taken, Ingested(status, None, 0, 0, 0, [], [], []))
    assert [(one.type, one.subject) for one in deliveries(database, webhook_id)] == [
        (f"dataset.{status}", dataset_id)
    ]


def test_an_ingest_that_dies_tells_too(database: Database, acme: Merchant) -> None:
    """An upload that broke its worker would look as if it were still being checked."""
    webhook_id = add(database, acme.tenant_id, URL)
    dataset_id, job_id = upload(database, acme.tenant_id, {"a/b.jpg": b"x"})
    slot_id = new_id("slot")
    with database.write() as session:
        slots.register(session, slot_id, device_class=INGEST_CLASS, lease=60)
    with database.write() as session:
        taken = claim(session, job_id, slot_id=slot_id, device_class=INGEST_CLASS, lease=60)
        assert taken is not None
        finish.fail(session, taken, JobError.of(ErrorCode.WORKER_LOST, "It died."))
    (told,) = deliveries(database, webhook_id)
    assert (told.type, told.subject) == ("dataset.invalid", dataset_id)


def test_an_endpoint_deleted_meanwhile_fails_no_job(
    database: Database, acme: Merchant, queued: str, take: Take
) -> None:
    """A merchant who deletes an endpoint at the wrong moment would lose a model."""
    webhook_id = add(database, acme.tenant_id, URL)
    with database.write() as session:
        session.add(
            WebhookDelivery(
                id=new_id("whd"),
                tenant_id=acme.tenant_id,
                webhook_id=new_id("whk"),
                event_id=new_id("evt"),
                type="job.failed",
                subject=queued,
            )
        )
    with database.write() as session:
        webhooks.remove(session, Endpoint(acme.tenant_id, webhook_id), OPERATOR)
    assert sweep(database)["deliveries"] == 1
