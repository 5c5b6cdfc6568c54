"""Webhooks: endpoints and deliveries, and the check that a receiver makes of what comes.

May import the contract and this package's own modules.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from regraft.client.errors import InvalidInput, SignatureInvalid
from regraft.client.transport import Transport, path
from regraft.contract import signatures
from regraft.contract.registry import Deleted
from regraft.contract.resources import Page
from regraft.contract.signatures import TOLERANCE_SECONDS
from regraft.contract.webhooks import (
    DEFAULT_OVERLAP_HOURS,
    Delivery,
    Webhook,
    WebhookEvent,
    WebhookWithSecret,
)


class Webhooks:
    """The merchant's endpoints."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, url: str, *, events: Sequence[str] | None = None, description: str | None = None
    ) -> WebhookWithSecret:
        """Add an endpoint, told of everything unless `events` says less.

        The secret in the answer is shown this once.

        Raises:
            ValidationFailed: the address is no public https address.
            ConflictError: there is an endpoint with this address.
            RateLimited: there are as many endpoints as the merchant may have.
        """
        given = {"url": url, "events": events and list(events), "description": description}
        return self._transport.post(path("webhooks"), WebhookWithSecret, _given(given))

    def get(self, webhook: str) -> Webhook:
        """Return one endpoint."""
        return self._transport.get(path("webhooks", webhook), Webhook)

    def list(self, *, page_size: int = 100) -> Iterator[Webhook]:
        """Yield endpoints, newest first."""
        return self._transport.pages(path("webhooks"), Page[Webhook], {"limit": page_size})

    def update(
        self,
        webhook: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Webhook:
        """Change what is named; disabling fails what waits for the endpoint."""
        given = {
            "url": url,
            "events": events and list(events),
            "description": description,
            "enabled": enabled,
        }
        return self._transport.patch(path("webhooks", webhook), Webhook, _given(given))

    def delete(self, webhook: str) -> Deleted:
        """Delete an endpoint with its secrets and deliveries."""
        return self._transport.delete(path("webhooks", webhook), Deleted)

    def rotate(
        self, webhook: str, *, overlap_hours: int = DEFAULT_OVERLAP_HOURS
    ) -> WebhookWithSecret:
        """Replace the secret; for so many hours the one before signs too."""
        body = {"overlap_hours": overlap_hours}
        return self._transport.post(path("webhooks", webhook, "rotate"), WebhookWithSecret, body)

    def test(self, webhook: str) -> Delivery:
        """Send a `webhook.test`; `deliveries` shows how it went."""
        return self._transport.post(path("webhooks", webhook, "test"), Delivery, {})

    def deliveries(
        self, webhook: str, *, status: str | None = None, page_size: int = 100
    ) -> Iterator[Delivery]:
        """Yield what was sent, newest first; all of it, or what has one status."""
        params = {"status": status, "limit": page_size}
        url = path("webhooks", webhook, "deliveries")
        return self._transport.pages(url, Page[Delivery], params)

    def redeliver(self, webhook: str, delivery: str) -> Delivery:
        """Send an event again, under the id that it had."""
        url = path("webhooks", webhook, "deliveries", delivery, "redeliver")
        return self._transport.post(url, Delivery, {})


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance: float = TOLERANCE_SECONDS,
    now: float | None = None,
) -> WebhookEvent:
    """Return the event of a call that came from the service; for a receiver to make first.

    `body` is the raw body, `headers` whatever the framework calls them, `secret` one endpoint's.
    `tolerance` is how many seconds the call's time may be off `now` (the clock's, unless given).
    The same event may come twice: keep the `webhook-id` of those that were handled.

    Raises:
        SignatureInvalid: it is not signed with this secret, or too old or too new.
        InvalidInput: `secret` is none.
    """
    found = {name.lower(): value for name, value in headers.items()}
    event_id, moment = found.get(signatures.ID, ""), found.get(signatures.TIMESTAMP, "")
    if not event_id or not (moment.isascii() and moment.isdecimal()):
        raise SignatureInvalid("the call has no webhook-id or no webhook-timestamp")
    try:
        expected = signatures.sign(secret, event_id, int(moment[:20]), body)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    if not signatures.matches(found.get(signatures.SIGNATURE, ""), [expected]):
        raise SignatureInvalid("the call is not signed with this secret")
    if abs((time.time() if now is None else now) - int(moment[:20])) > tolerance:
        raise SignatureInvalid("the call is too old, or from the future")
    try:
        return WebhookEvent.model_validate_json(body)
    except ValidationError as error:
        raise SignatureInvalid("the call's body is no event") from error


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
