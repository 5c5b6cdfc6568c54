"""I10 must see what it is there to see: each breach is made by hand and looked for."""

from typing import Any

import pytest
from sqlalchemy import update

from benchmarks.chaos.telling import everything_is_told
from core.settings import WebhookSettings
from core.webhook_secrets import secret
from db.lifecycle import events
from db.lifecycle.outbox import dataset_moved
from db.models import Dataset, JobEvent, Webhook, WebhookDelivery
from db.session import Database
from regraft.contract.signatures import sign
from tests.support.jobs import ready_dataset, submit
from tests.support.merchants import Merchant
from tests.support.receiver import Heard
from tests.support.webhooks import add, deliveries, row

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
URL = "https://hooks.example.com/regraft"


@pytest.fixture
def webhook(database: Database, acme: Merchant) -> str:
    """An endpoint that was told of the end of a job, and of a dataset's check."""
    made = add(database, acme.tenant_id, URL)
    dataset = ready_dataset(database, acme.tenant_id)
    job_id = submit(database, acme.tenant_id, dataset)
    with database.write() as session:
        dataset_moved(session, acme.tenant_id, dataset, "ready")
        events.record(
            session,
            tenant_id=acme.tenant_id,
            job_id=job_id,
            fence=1,
            level="info",
            type="status",
            message="Succeeded.",
            data={"from": "running", "to": "succeeded"},
        )
        session.execute(update(WebhookDelivery).values(status="succeeded"))
    return made


def _calls(database: Database, webhook: str, seed: str | None = None) -> list[Heard]:
    """Return the calls that tell of each delivery."""
    made = row(database, webhook)
    text = secret(WebhookSettings(), seed or made.seed)
    found = []
    for one in deliveries(database, webhook):
        body = f'{{"type":"{one.type}","data":{{"id":"{one.subject}"}}}}'.encode()
        headers = {
            "webhook-id": one.event_id,
            "webhook-timestamp": "1800000000",
            "webhook-signature": sign(text, one.event_id, 1_800_000_000, body),
        }
        found.append(Heard(f"/{made.tenant_id}", headers, body, accepted=True))
    return found


def _found(database: Database, calls: list[Heard]) -> list[str]:
    with database.read() as session:
        return list(everything_is_told(session, calls))


def _set(database: Database, table: type[Any], **values: object) -> None:
    with database.write() as session:
        session.execute(update(table).values(**values))


def test_whoever_was_told_is_no_breach(database: Database, webhook: str) -> None:
    """A campaign that always fails is soon ignored."""
    calls = _calls(database, webhook)
    assert len(calls) == 2
    assert _found(database, calls) == []
    assert _found(database, [*calls, *calls]) == []


def test_an_end_that_nothing_tells_of(database: Database, webhook: str, acme: Merchant) -> None:
    """A move that forgets its outbox would never be missed."""
    calls = _calls(database, webhook)
    _set(database, JobEvent, data={"to": "failed"})
    assert any("is failed" in breach for breach in _found(database, calls))
    _set(database, JobEvent, data={"to": "succeeded"})
    _set(database, Dataset, status="invalid")
    assert any("is invalid" in breach for breach in _found(database, calls))


def test_a_delivery_that_never_arrived(database: Database, webhook: str) -> None:
    """A call that was lost with its sender would count as made."""
    calls = _calls(database, webhook)
    assert len(_found(database, calls[1:])) == 1
    unaccepted = [one._replace(accepted=False) for one in calls]
    assert len(_found(database, unaccepted)) == 2
    _set(database, WebhookDelivery, status="pending")
    assert _found(database, unaccepted) == []


def test_a_delivery_that_was_given_up_early(database: Database, webhook: str) -> None:
    """A receiver that is away for a minute would never hear of its models."""
    _set(database, WebhookDelivery, status="failed", retry=2)
    assert len(_found(database, [])) == 2
    _set(database, WebhookDelivery, retry=10)
    assert _found(database, []) == []
    _set(database, WebhookDelivery, retry=0)
    _set(database, Webhook, disabled_at=1.0)
    assert _found(database, []) == []


def test_a_call_of_somebody_else(database: Database, webhook: str) -> None:
    """A receiver would refuse every call, and the service call itself sound."""
    assert len(_found(database, _calls(database, webhook, seed="another"))) == 2
    first, second = _calls(database, webhook)
    swapped = first._replace(body=second.body)
    assert len(_found(database, [swapped, first, second])) == 2
