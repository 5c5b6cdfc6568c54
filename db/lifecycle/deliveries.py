"""The sender's side of the outbox: which endpoints are due, taking a delivery, and how it went.

A taken delivery comes back once its lease is over, so whoever dies with it costs a repeat and
no loss. Locks are taken in one order: the endpoint, then its deliveries.
"""

import random
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from core.settings import WebhookSettings
from db.base import now
from db.lifecycle.guard import changed
from db.models import Webhook, WebhookDelivery
from db.repositories import audit
from db.repositories.audit import OPERATOR
from regraft.contract.registry import AuditAction

# Together about a day; a receiver that is away for a night misses nothing.
WAITS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 21_600.0, 36_000.0)
_JITTER = (0.8, 1.2)
SLOW_SECONDS = 2.0
DISABLED = "endpoint_disabled"
_GONE = 410
_KEPT_ATTEMPTS = 20
_KEPT_SECONDS = 30 * 86_400.0
_AT_ONCE = 1000


class Due(NamedTuple):
    """An endpoint that has something to be told."""

    webhook_id: str
    is_slow: bool


class Taken(NamedTuple):
    """A delivery for one attempt: where to, what to say, and the seeds to sign with.

    `taken_at` is on the database's clock; `attempt` proves who may settle it.
    """

    id: str
    webhook_id: str
    url: str
    seeds: tuple[str, ...]
    event_id: str
    type: str
    subject: str
    created_at: float
    taken_at: float
    attempt: int


class Outcome(NamedTuple):
    """How an attempt went: the receiver's status, or a code that says why there is none."""

    status_code: int | None
    error: str | None
    seconds: float

    @property
    def is_success(self) -> bool:
        """Whether the receiver has it: any 2xx, and nothing else."""
        return self.error is None and self.status_code is not None and self.status_code // 100 == 2  # noqa: PLR2004 - 2xx


def due(session: Session) -> list[Due]:
    """Return the endpoints that have a delivery due, in no order that could favour anybody."""
    query = select(Webhook.id, Webhook.is_slow).where(
        Webhook.disabled_at.is_(None), exists().where(_is_due(), _of(Webhook.id))
    )
    found = [Due(row.id, row.is_slow) for row in session.execute(query)]
    random.shuffle(found)
    return found


def take(session: Session, webhook_id: str, *, lease: float) -> Taken | None:
    """Take the delivery of an endpoint that has been due the longest; None where there is none."""
    first = (
        select(WebhookDelivery.id)
        .where(_is_due(), _of(webhook_id))
        .order_by(WebhookDelivery.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = session.scalar(first)
    webhook = session.get(Webhook, webhook_id)
    if found is None or webhook is None or webhook.disabled_at is not None:
        return None
    row = session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == found, _is_due())
        .values(attempt=WebhookDelivery.attempt + 1, next_at=now() + lease)
        .returning(
            WebhookDelivery.event_id,
            WebhookDelivery.type,
            WebhookDelivery.subject,
            WebhookDelivery.created_at,
            now().label("taken_at"),
            WebhookDelivery.attempt,
        ),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if row is None:
        return None
    seeds = [webhook.seed]
    if webhook.previous_seed and (webhook.previous_until or 0.0) > row.taken_at:
        seeds.append(webhook.previous_seed)
    return Taken(found, webhook_id, webhook.url, tuple(seeds), *row)


def settle(session: Session, taken: Taken, outcome: Outcome, given: WebhookSettings) -> None:
    """Write how an attempt went; nothing where somebody else took the delivery meanwhile."""
    webhook = session.get(Webhook, taken.webhook_id, with_for_update=True)
    mine = (WebhookDelivery.id == taken.id) & (WebhookDelivery.attempt == taken.attempt)
    row = session.scalar(
        select(WebhookDelivery).where(mine, WebhookDelivery.status == "pending").with_for_update()
    )
    if webhook is None or row is None:
        return
    row.attempts = [*row.attempts, {"at": taken.taken_at, **outcome._asdict()}][-_KEPT_ATTEMPTS:]
    if outcome.is_success:
        row.status = "succeeded"
    elif row.retry >= len(WAITS):
        row.status = "failed"
    else:
        wait = WAITS[row.retry] * given.backoff * random.uniform(*_JITTER)
        row.retry += 1
        session.flush()
        changed(session, update(WebhookDelivery).where(mine).values(next_at=now() + wait))
    session.flush()
    _judge(session, webhook, outcome, given)


def disable(session: Session, webhook: Webhook, reason: str) -> None:
    """Call an endpoint no more; what waits for it has failed."""
    webhook.disabled_at = session.scalar(select(now()))
    webhook.disabled_reason = reason
    session.flush()
    waiting = _of(webhook.id) & (WebhookDelivery.status == "pending")
    changed(session, update(WebhookDelivery).where(waiting).values(status="failed"))


def sweep(session: Session) -> int:
    """Delete old deliveries, and those of endpoints that are gone; return how many."""
    old = (WebhookDelivery.created_at < now() - _KEPT_SECONDS) & (
        WebhookDelivery.status != "pending"
    )
    lost = ~exists().where(Webhook.id == WebhookDelivery.webhook_id)
    some = select(WebhookDelivery.id).where(old | lost).limit(_AT_ONCE)
    ids = list(session.scalars(some))
    return changed(session, delete(WebhookDelivery).where(WebhookDelivery.id.in_(ids)))


def _judge(session: Session, webhook: Webhook, outcome: Outcome, given: WebhookSettings) -> None:
    """Remember how an endpoint does; one that fails for days, or says 410, is disabled."""
    webhook.is_slow = outcome.seconds >= min(SLOW_SECONDS, given.timeout)
    if outcome.is_success:
        webhook.failing_since = None
        return
    moment = session.scalar(select(now())) or 0.0
    webhook.failing_since = webhook.failing_since or moment
    days = given.disable_after / 86_400
    if outcome.status_code == _GONE:
        reason = "It answered 410 Gone."
    elif moment - webhook.failing_since > given.disable_after:
        reason = f"Every call failed for {days:g} days."
    else:
        return
    disable(session, webhook, reason)
    audit.record(
        session,
        webhook.tenant_id,
        OPERATOR,
        AuditAction.WEBHOOK_DISABLED,
        webhook.id,
        reason=reason,
    )


def _of(webhook_id: object) -> ColumnElement[bool]:
    return WebhookDelivery.webhook_id == webhook_id


def _is_due() -> ColumnElement[bool]:
    return (WebhookDelivery.status == "pending") & (WebhookDelivery.next_at <= now())
