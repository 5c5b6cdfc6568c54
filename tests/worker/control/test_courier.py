"""The courier with real receivers: at least once, one after another, nobody's slowness shared."""

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import update

from core.settings import Settings
from db.base import now
from db.lifecycle.deliveries import WAITS
from db.models import Webhook, WebhookDelivery
from db.repositories import audit, jobs
from db.repositories import webhooks as repository
from db.repositories.audit import OPERATOR
from db.repositories.reading import Window
from db.repositories.webhooks import Endpoint
from db.session import Database
from tests.support.jobs import ready_dataset, submit, wait_for
from tests.support.merchants import Merchant
from tests.support.receiver import Receiver, receiver
from tests.support.timings import SCALED_WEBHOOKS
from tests.support.webhooks import add, deliveries, is_signed, row
from worker.control.courier import Courier

Look = Callable[[], None]


@pytest.fixture
def given(settings: Settings) -> Settings:
    """Settings that let loopback through, with a key."""
    webhooks = SCALED_WEBHOOKS.model_copy(update={"backoff": 1e-6})
    return settings.model_copy(update={"webhooks": webhooks})


@pytest.fixture
def shop() -> Iterator[Receiver]:
    """A merchant's receiver."""
    with receiver() as made:
        yield made


@pytest.fixture
def courier(database: Database, given: Settings) -> Iterator[Courier]:
    """A courier that looks again and again, as its loop does."""
    made, ending = Courier(database, given, threading.Event()), threading.Event()

    def run() -> None:
        while not ending.is_set():
            made.look()
            made.wait()

    thread = threading.Thread(target=run)
    thread.start()
    yield made
    ending.set()
    thread.join()
    made.finish(5)


def _end(database: Database, merchant: Merchant, count: int = 1) -> list[str]:
    """End so many jobs of a merchant."""
    dataset = ready_dataset(database, merchant.tenant_id)
    ids = [submit(database, merchant.tenant_id, dataset) for _ in range(count)]
    for job_id in ids:
        with database.write() as session:
            jobs.cancel(session, merchant.tenant_id, job_id)
    return ids


def _done(database: Database, webhook_id: str, status: str = "succeeded") -> bool:
    found = deliveries(database, webhook_id)
    return bool(found) and {one.status for one in found} == {status}


def test_each_end_of_a_job_arrives_signed(
    database: Database, acme: Merchant, zenith: Merchant, shop: Receiver, courier: Courier
) -> None:
    """A merchant's shop would wait for a model that is there, or believe a stranger."""
    webhook_id = add(database, acme.tenant_id, shop.url())
    other = add(database, zenith.tenant_id, shop.url("/zenith"))
    ids = _end(database, acme, 3)
    wait_for(lambda: _done(database, webhook_id))
    assert sorted(heard.subject for heard in shop.heard) == sorted(ids)
    seed = row(database, webhook_id).seed
    assert all(is_signed(heard, seed) for heard in shop.heard)
    assert not any(is_signed(heard, row(database, other).seed) for heard in shop.heard)
    assert {heard.path for heard in shop.heard} == {"/hooks"}
    assert len({heard.event_id for heard in shop.heard}) == 3


def test_a_failed_call_is_made_again_with_the_same_id_and_body(
    database: Database, acme: Merchant, shop: Receiver, courier: Courier
) -> None:
    """An event would be lost to a receiver's restart, or be counted twice."""
    shop.habit = "error"
    webhook_id = add(database, acme.tenant_id, shop.url())
    _end(database, acme)
    wait_for(lambda: len(shop.heard) >= 3)
    assert row(database, webhook_id).failing_since is not None
    shop.habit = "ok"
    wait_for(lambda: _done(database, webhook_id))
    assert len({(heard.event_id, heard.body) for heard in shop.heard}) == 1
    assert row(database, webhook_id).failing_since is None
    (delivery,) = deliveries(database, webhook_id)
    assert delivery.attempts[0]["status_code"] == 500
    assert delivery.attempts[-1]["status_code"] == 204


def test_after_the_last_attempt_a_delivery_has_failed_and_can_be_sent_again(
    database: Database, acme: Merchant, shop: Receiver, courier: Courier
) -> None:
    """A receiver that is gone would be called for ever, or a merchant could not catch up."""
    shop.habit = "error"
    webhook_id = add(database, acme.tenant_id, shop.url())
    _end(database, acme)
    wait_for(lambda: _done(database, webhook_id, "failed"), 40)
    (delivery,) = deliveries(database, webhook_id)
    assert delivery.attempt == len(shop.heard) == len(WAITS) + 1
    shop.habit = "ok"
    with database.write() as session:
        at = Endpoint(acme.tenant_id, webhook_id)
        repository.send_again(session, at, delivery.id)
    wait_for(lambda: _done(database, webhook_id))
    assert len({heard.event_id for heard in shop.heard}) == 1


def test_both_secrets_sign_during_a_rotation(
    database: Database, acme: Merchant, shop: Receiver, courier: Courier
) -> None:
    """Between the rotation and the receiver's new configuration every event would be refused."""
    webhook_id = add(database, acme.tenant_id, shop.url())
    old = row(database, webhook_id).seed
    at = Endpoint(acme.tenant_id, webhook_id)
    with database.write() as session:
        repository.rotate(session, at, 24, OPERATOR)
    _end(database, acme)
    wait_for(lambda: _done(database, webhook_id))
    new = row(database, webhook_id).seed
    assert new != old
    assert all(is_signed(shop.heard[0], seed) for seed in (old, new))
    with database.write() as session:
        late = update(Webhook).where(Webhook.id == webhook_id).values(previous_until=now() - 1)
        session.execute(late)
    _end(database, acme)
    wait_for(lambda: len(shop.heard) == 2)
    assert is_signed(shop.heard[1], new)
    assert not is_signed(shop.heard[1], old)


def test_stalling_receivers_delay_nobody(
    database: Database, acme: Merchant, zenith: Merchant, shop: Receiver, courier: Courier
) -> None:
    """One merchant's broken receivers would hold back every other merchant's events."""
    with receiver() as tarpit:
        tarpit.habit = "stall"
        for number in range(10):
            add(database, acme.tenant_id, tarpit.url(f"/{number}"))
        webhook_id = add(database, zenith.tenant_id, shop.url())
        _end(database, acme, 3)
        wait_for(lambda: len(tarpit.heard) >= 10)
        _end(database, zenith, 5)
        wait_for(lambda: _done(database, webhook_id), 5)
        assert shop.accepted()


def test_an_endpoint_that_fails_for_days_is_disabled(
    database: Database, acme: Merchant, shop: Receiver, courier: Courier
) -> None:
    """Calls that nobody will ever take would be made for years."""
    shop.habit = "error"
    webhook_id = add(database, acme.tenant_id, shop.url())
    with database.write() as session:
        long_ago = update(Webhook).where(Webhook.id == webhook_id)
        session.execute(long_ago.values(failing_since=now() - 6 * 86_400))
    _end(database, acme, 2)
    wait_for(lambda: row(database, webhook_id).disabled_at)
    assert row(database, webhook_id).disabled_reason == "Every call failed for 5 days."
    assert {one.status for one in deliveries(database, webhook_id)} == {"failed"}
    with database.read() as session:
        (entry, _) = audit.listed(session, acme.tenant_id, Window(10, None)).rows
    assert (entry.action, entry.actor) == ("webhook.disabled", None)
    called = len(shop.heard)
    _end(database, acme)
    assert len(deliveries(database, webhook_id)) == 2
    assert len(shop.heard) == called


def test_410_disables_at_once(
    database: Database, acme: Merchant, shop: Receiver, courier: Courier
) -> None:
    """A receiver could not say that it is gone for good."""
    shop.habit = "gone"
    webhook_id = add(database, acme.tenant_id, shop.url())
    _end(database, acme)
    wait_for(lambda: row(database, webhook_id).disabled_at)
    assert len(shop.heard) == 1


def test_what_a_dead_courier_took_comes_back(
    database: Database, given: Settings, acme: Merchant, shop: Receiver, courier: Courier
) -> None:
    """An event would be lost with the process that was about to send it."""
    webhook_id = add(database, acme.tenant_id, shop.url("/nobody"), events=["job.failed"])
    _end(database, acme)
    with database.write() as session:
        taken = WebhookDelivery(
            id="whd_taken",
            tenant_id=acme.tenant_id,
            webhook_id=webhook_id,
            event_id="evt_taken",
            type="job.failed",
            subject="job_x",
            attempt=1,
            next_at=now() + 1.0,
        )
        session.add(taken)
    assert shop.heard == []
    wait_for(lambda: _done(database, webhook_id))
    assert [heard.event_id for heard in shop.heard] == ["evt_taken"]
    assert deliveries(database, webhook_id)[0].attempt == 2
