"""A merchant's endpoints for webhooks, what was sent to them, and sending it again."""

from typing import NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core import webhook_secrets
from core.refusals import ConflictError, QuotaError
from db.base import now
from db.lifecycle import deliveries
from db.lifecycle.guard import changed
from db.models import Tenant, Webhook, WebhookDelivery
from db.repositories import audit
from db.repositories.audit import Actor
from db.repositories.reading import Slice, Window, get, newest_first
from db.tenancy import scoped
from regraft.contract.ids import new_id
from regraft.contract.registry import AuditAction
from regraft.contract.webhooks import TEST_TYPE, DeliveryStatus, WebhookChange, WebhookNew

_PAUSED = "It was disabled by request."
_QUOTA_SECONDS = 3600


class Endpoint(NamedTuple):
    """An endpoint of a tenant, as an address names it."""

    tenant_id: str
    webhook_id: str


def create(
    session: Session, tenant_id: str, new: WebhookNew, actor: Actor, *, most: int
) -> Webhook:
    """Insert an endpoint, whose address has been checked.

    Raises `QuotaError` where the tenant has `most` already, `ConflictError` for a known address.
    """
    _take_turns(session, tenant_id)
    count = scoped(Webhook, tenant_id).with_only_columns(func.count())
    if (session.scalar(count) or 0) >= most:
        raise QuotaError(
            "webhooks",
            f"You have {most} endpoints, all that are allowed: delete one that is not needed.",
            _QUOTA_SECONDS,
        )
    _require_new(session, tenant_id, new.url)
    webhook = Webhook(
        id=new_id("whk"),
        tenant_id=tenant_id,
        url=new.url,
        description=new.description,
        events=[str(kind) for kind in new.events],
        seed=webhook_secrets.new_seed(),
    )
    session.add(webhook)
    session.flush()
    _record(session, webhook, actor, AuditAction.WEBHOOK_CREATED, url=new.url)
    return webhook


def find(session: Session, at: Endpoint) -> Webhook:
    """Return one endpoint; raises `NotFoundError`."""
    return get(session, scoped(Webhook, at.tenant_id).where(Webhook.id == at.webhook_id), "webhook")


def listed(session: Session, tenant_id: str, window: Window) -> Slice[Webhook]:
    """Return a page of the tenant's endpoints, newest first."""
    return newest_first(session, scoped(Webhook, tenant_id), Webhook.id, "whk", window)


def change(session: Session, at: Endpoint, wanted: WebhookChange, actor: Actor) -> Webhook:
    """Change what is named; raises `NotFoundError`, or `ConflictError` for a known address."""
    webhook = _locked(session, at)
    if wanted.url is not None and wanted.url != webhook.url:
        _take_turns(session, at.tenant_id)
        _require_new(session, at.tenant_id, wanted.url)
        webhook.url = wanted.url
    if wanted.description is not None:
        webhook.description = wanted.description
    if wanted.events is not None:
        webhook.events = [str(kind) for kind in wanted.events]
    if wanted.enabled is False and webhook.disabled_at is None:
        deliveries.disable(session, webhook, _PAUSED)
    if wanted.enabled is True and webhook.disabled_at is not None:
        webhook.disabled_at = webhook.disabled_reason = webhook.failing_since = None
    session.flush()
    noted = wanted.model_dump(mode="json", exclude_none=True)
    _record(session, webhook, actor, AuditAction.WEBHOOK_CHANGED, **noted)
    return webhook


def rotate(session: Session, at: Endpoint, hours: int, actor: Actor) -> Webhook:
    """Give an endpoint a new secret; the one before signs too for so many hours."""
    webhook = _locked(session, at)
    webhook.previous_seed = webhook.seed if hours else None
    until = select(now() + hours * 3600.0)
    webhook.previous_until = session.scalar(until) if hours else None
    webhook.seed = webhook_secrets.new_seed()
    session.flush()
    rotated = AuditAction.WEBHOOK_SECRET_ROTATED
    _record(session, webhook, actor, rotated, overlap_hours=hours)
    return webhook


def remove(session: Session, at: Endpoint, actor: Actor) -> None:
    """Delete an endpoint, its secrets, and what was or would have been sent to it."""
    webhook = _locked(session, at)
    _record(session, webhook, actor, AuditAction.WEBHOOK_DELETED, url=webhook.url)
    changed(session, delete(Webhook).where(Webhook.id == webhook.id))
    mine = WebhookDelivery.webhook_id == webhook.id
    changed(session, delete(WebhookDelivery).where(mine))


def queue_test(session: Session, at: Endpoint) -> WebhookDelivery:
    """Queue a `webhook.test` for an endpoint; one that still waits is not queued twice.

    Raises `NotFoundError`, or `ConflictError` for an endpoint that is disabled.
    """
    webhook = _enabled(session, at)
    waiting = scoped(WebhookDelivery, at.tenant_id).where(
        WebhookDelivery.webhook_id == webhook.id,
        WebhookDelivery.type == TEST_TYPE,
        WebhookDelivery.status == "pending",
    )
    delivery = session.scalars(waiting).first()
    if delivery is None:
        delivery = WebhookDelivery(
            id=new_id("whd"),
            tenant_id=at.tenant_id,
            webhook_id=webhook.id,
            event_id=new_id("evt"),
            type=TEST_TYPE,
            subject=webhook.id,
        )
        session.add(delivery)
        session.flush()
    return delivery


def sent(
    session: Session, at: Endpoint, status: DeliveryStatus | None, window: Window
) -> Slice[WebhookDelivery]:
    """Return a page of an endpoint's deliveries, newest first; raises `NotFoundError`."""
    webhook = find(session, at)
    query = scoped(WebhookDelivery, at.tenant_id).where(WebhookDelivery.webhook_id == webhook.id)
    if status is not None:
        query = query.where(WebhookDelivery.status == status)
    return newest_first(session, query, WebhookDelivery.id, "whd", window)


def send_again(session: Session, at: Endpoint, delivery_id: str) -> WebhookDelivery:
    """Queue a delivery anew, under the event's id that it had; one that waits goes at once.

    Raises `NotFoundError`, or `ConflictError` for an endpoint that is disabled.
    """
    webhook = _enabled(session, at)
    mine = scoped(WebhookDelivery, at.tenant_id).where(
        WebhookDelivery.id == delivery_id, WebhookDelivery.webhook_id == webhook.id
    )
    delivery = get(session, mine, "delivery")
    one = WebhookDelivery.id == delivery.id
    again = {"status": "pending", "retry": 0, "next_at": now()}
    changed(session, update(WebhookDelivery).where(one).values(again))
    session.refresh(delivery)
    return delivery


def _locked(session: Session, at: Endpoint) -> Webhook:
    mine = scoped(Webhook, at.tenant_id).where(Webhook.id == at.webhook_id)
    return get(session, mine.with_for_update(), "webhook")


def _enabled(session: Session, at: Endpoint) -> Webhook:
    webhook = _locked(session, at)
    if webhook.disabled_at is not None:
        raise ConflictError("The endpoint is disabled: enable it first.")
    return webhook


def _take_turns(session: Session, tenant_id: str) -> None:
    """Let one transaction of a tenant at a time look for an address and take it."""
    session.get_one(Tenant, tenant_id, with_for_update={"key_share": True})


def _require_new(session: Session, tenant_id: str, url: str) -> None:
    if session.scalar(scoped(Webhook, tenant_id).where(Webhook.url == url)) is not None:
        raise ConflictError("You have an endpoint with this address already.", "url")


def _record(
    session: Session, webhook: Webhook, actor: Actor, action: AuditAction, **data: object
) -> None:
    audit.record(session, webhook.tenant_id, actor, action, webhook.id, **data)
