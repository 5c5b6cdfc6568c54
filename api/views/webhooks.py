"""Webhooks: endpoints, their secrets, and what was sent to them."""

from api import shown
from api.routing import Call, PageQuery, Routes
from core import endpoints, webhook_secrets
from db import models
from db.repositories import webhooks
from db.repositories.reading import Window
from db.repositories.webhooks import Endpoint
from regraft.contract.errors import ErrorCode
from regraft.contract.registry import Deleted
from regraft.contract.resources import Page
from regraft.contract.webhooks import (
    Delivery,
    DeliveryStatus,
    SecretRotation,
    Webhook,
    WebhookChange,
    WebhookNew,
    WebhookWithSecret,
)

routes = Routes()
_URL_ERRORS = (
    ErrorCode.WEBHOOK_URL_INVALID,
    ErrorCode.WEBHOOK_URL_FORBIDDEN,
    ErrorCode.CONFLICT,
)


class DeliveryQuery(PageQuery):
    """Which deliveries to list."""

    status: DeliveryStatus | None = None


@routes.add(
    "POST",
    "/v1/webhooks",
    WebhookWithSecret,
    scope="write",
    status=201,
    errors=(*_URL_ERRORS, ErrorCode.QUOTA_EXCEEDED),
)
def create_webhook(call: Call, body: WebhookNew) -> WebhookWithSecret:
    """Add an endpoint; its secret is shown this once.

    The same address twice is a conflict, so no `Idempotency-Key` is needed and no secret kept.
    """
    _check(call, body.url)
    most = call.services.settings.webhooks.max_endpoints
    with call.database.write() as session:
        made = webhooks.create(session, call.tenant_id, body, call.actor, most=most)
    return _with_secret(call, made)


@routes.add("GET", "/v1/webhooks", Page[Webhook])
def list_webhooks(call: Call, query: PageQuery) -> Page[Webhook]:
    """List endpoints, newest first."""
    with call.database.read() as session:
        rows = webhooks.listed(session, call.tenant_id, Window(query.limit, query.cursor))
    return shown.page(rows, shown.webhook)


@routes.add("GET", "/v1/webhooks/{webhook_id}", Webhook)
def show_webhook(call: Call, webhook_id: str) -> Webhook:
    """Show one endpoint; never its secret."""
    with call.database.read() as session:
        return shown.webhook(webhooks.find(session, _at(call, webhook_id)))


@routes.add("PATCH", "/v1/webhooks/{webhook_id}", Webhook, scope="write", errors=_URL_ERRORS)
def change_webhook(call: Call, webhook_id: str, body: WebhookChange) -> Webhook:
    """Change an endpoint, disable it, or enable it again.

    Disabling fails what waits for it; each of those can be sent again later.
    """
    at = _at(call, webhook_id)
    with call.database.read() as session:
        webhooks.find(session, at)
    if body.url is not None:
        _check(call, body.url)
    with call.database.write() as session:
        return shown.webhook(webhooks.change(session, at, body, call.actor))


@routes.add("DELETE", "/v1/webhooks/{webhook_id}", Deleted, scope="write")
def delete_webhook(call: Call, webhook_id: str) -> Deleted:
    """Delete an endpoint with its secrets and deliveries."""
    with call.database.write() as session:
        webhooks.remove(session, _at(call, webhook_id), call.actor)
    return Deleted(id=webhook_id, object="webhook")


@routes.add("POST", "/v1/webhooks/{webhook_id}/rotate", WebhookWithSecret, scope="write")
def rotate_secret(call: Call, webhook_id: str, body: SecretRotation) -> WebhookWithSecret:
    """Replace the secret; for `overlap_hours` each call is signed with both."""
    at = _at(call, webhook_id)
    with call.database.write() as session:
        made = webhooks.rotate(session, at, body.overlap_hours, call.actor)
    return _with_secret(call, made)


@routes.add(
    "POST",
    "/v1/webhooks/{webhook_id}/test",
    Delivery,
    scope="write",
    status=202,
    errors=(ErrorCode.CONFLICT,),
)
def send_test(call: Call, webhook_id: str) -> Delivery:
    """Send a `webhook.test`; the endpoint's deliveries show how it went."""
    with call.database.write() as session:
        return shown.delivery(webhooks.queue_test(session, _at(call, webhook_id)))


@routes.add("GET", "/v1/webhooks/{webhook_id}/deliveries", Page[Delivery])
def list_deliveries(call: Call, webhook_id: str, query: DeliveryQuery) -> Page[Delivery]:
    """List what was sent to an endpoint in the last 30 days, newest first."""
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = webhooks.sent(session, _at(call, webhook_id), query.status, window)
    return shown.page(rows, shown.delivery)


@routes.add(
    "POST",
    "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    Delivery,
    scope="write",
    status=202,
    errors=(ErrorCode.CONFLICT,),
)
def redeliver(call: Call, webhook_id: str, delivery_id: str) -> Delivery:
    """Send an event again, under the `webhook-id` that it had."""
    at = _at(call, webhook_id)
    with call.database.write() as session:
        return shown.delivery(webhooks.send_again(session, at, delivery_id))


def _at(call: Call, webhook_id: str) -> Endpoint:
    return Endpoint(call.tenant_id, webhook_id)


def _check(call: Call, url: str) -> None:
    endpoints.parse(url, allow_private=call.services.settings.webhooks.allow_private)


def _with_secret(call: Call, row: models.Webhook) -> WebhookWithSecret:
    secret = webhook_secrets.secret(call.services.settings.webhooks, row.seed)
    return WebhookWithSecret(**shown.webhook(row).model_dump(), secret=secret)
