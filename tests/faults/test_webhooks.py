"""Faults around webhooks: every end of a job is told at least once, and no job waits for that."""

import random
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

import pytest
from sqlalchemy import select

from db.models import Webhook
from db.repositories import webhooks
from db.repositories.audit import OPERATOR
from db.repositories.webhooks import Endpoint
from db.session import Database
from tests.support.receiver import Receiver, receiver
from tests.support.scene import Scene
from tests.support.webhooks import add, is_signed, waiting

pytestmark = pytest.mark.slow
IN_FLIGHT = 20
_BAD = ("error", "stall", "drip", "reset", "redirect")


@pytest.fixture
def good() -> Iterator[Receiver]:
    """A receiver that is always there."""
    with receiver() as made:
        yield made


@pytest.fixture
def bad() -> Iterator[Receiver]:
    """A receiver that fails in every way, and heals in the end."""
    with receiver() as made:
        yield made


@pytest.fixture(params=["stage", "postgres_stage"])
def either(request: pytest.FixtureRequest) -> Scene:
    """The service on each database."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Scene)
    return found


@pytest.fixture(autouse=True)
def _listening(either: Scene, good: Receiver, bad: Receiver) -> Iterator[None]:
    """Each merchant has an endpoint at both receivers, and none afterwards."""
    made = [
        (
            merchant.tenant_id,
            add(either.database, merchant.tenant_id, one.url(f"/{merchant.tenant_id}")),
        )
        for merchant in either.merchants
        for one in (good, bad)
    ]
    yield
    with either.database.write() as session:
        for tenant_id, webhook_id in made:
            webhooks.remove(session, Endpoint(tenant_id, webhook_id), OPERATOR)


def _require_all_told(stage: Scene, job_ids: list[str], told: Receiver) -> None:
    """Each job's end was accepted, signed, under one id of its own, by its merchant's endpoint."""
    events = defaultdict(set)
    for heard in told.accepted():
        owner = heard.path.strip("/")
        assert is_signed(heard, _seed(stage.database, owner, told.url(heard.path)))
        assert stage.journal.acknowledged[heard.subject] == owner
        events[heard.subject].add(heard.event_id)
    assert set(job_ids) <= set(events)
    assert {len(ids) for ids in events.values()} == {1}
    assert len(set.union(*events.values())) == len(events)


def _has_heard(told: Receiver, count: int) -> bool:
    return len(told.heard) >= count


def _seed(database: Database, tenant_id: str, url: str) -> str:
    mine = select(Webhook.seed).where(Webhook.tenant_id == tenant_id, Webhook.url == url)
    with database.read() as session:
        return session.scalars(mine).one()


@pytest.mark.fault("F28")
def test_receivers_fail_in_every_way(
    either: Scene, dice: random.Random, good: Receiver, bad: Receiver
) -> None:
    """A merchant would never hear of a model, or its broken receiver would delay its jobs."""
    stage = either
    bad.habit = dice.choice(_BAD)
    job_ids = stage.queue(IN_FLIGHT, milliseconds=20)
    for habit in dice.sample(_BAD, len(_BAD)):
        stage.pause(dice, 0.5)
        bad.habit = habit
    # Its receivers are still at their worst when every job has ended.
    stage.wait(lambda: stage.ended(job_ids))
    stage.wait(lambda: set(job_ids) <= {heard.subject for heard in good.accepted()})
    bad.stop()
    stage.pause(dice, 1.0)
    bad.habit = "huge"
    bad.start()
    stage.wait(lambda: not waiting(stage.database))
    _require_all_told(stage, job_ids, good)
    _require_all_told(stage, job_ids, bad)
    assert all(heard.path != "/inside" for heard in bad.heard)
    stage.check()


@pytest.mark.fault("F28", "F24")
def test_controls_die_in_the_middle_of_deliveries(
    either: Scene, dice: random.Random, good: Receiver, bad: Receiver
) -> None:
    """An event that was taken, and not yet sent, would die with the process that took it."""
    stage = either
    bad.habit = "stall"
    job_ids = stage.queue(IN_FLIGHT, milliseconds=20)
    for count in range(1, 5):
        stage.pause(dice, 1.0)
        stage.wait(partial(_has_heard, bad, count))
        stage.service.kill(dice.choice(("control-1", "control-2")))
        stage.tend()
    bad.habit = "ok"
    stage.wait(lambda: stage.ended(job_ids))
    stage.wait(lambda: not waiting(stage.database))
    _require_all_told(stage, job_ids, good)
    _require_all_told(stage, job_ids, bad)
    stage.check()
