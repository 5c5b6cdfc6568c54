"""Merchants, for administrators: add them, set what they may have, see what they use.

Every method needs a key with the scope `admin`. May import the contract and this package's own
modules.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from regraft.client.transport import Transport, new_key, path
from regraft.contract.administration import Merchant
from regraft.contract.resources import MerchantUsage, Page

Limits = Mapping[str, int | None]


class Merchants:
    """The merchants of the installation.

    `weight` is a merchant's part of the devices beside the others'; `limits` maps any of
    `stored_bytes`, `jobs_queued`, `jobs_running` and `device_minutes` (of a month) to the most it
    may have, or to None for no limit.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        *,
        weight: int | None = None,
        limits: Limits | None = None,
        idempotency_key: str | None = None,
    ) -> Merchant:
        """Add a merchant; it can do nothing before `keys.create` gives it a key."""
        body = _named(name, weight, limits)
        return self._transport.post(path("merchants"), Merchant, body, idempotency_key or new_key())

    def get(self, merchant: str) -> Merchant:
        """Return one merchant."""
        return self._transport.get(path("merchants", merchant), Merchant)

    def list(self, *, page_size: int = 100) -> Iterator[Merchant]:
        """Yield merchants, newest first."""
        return self._transport.pages(path("merchants"), Page[Merchant], {"limit": page_size})

    def usage(self, merchant: str) -> MerchantUsage:
        """Return what a merchant uses, beside its limits."""
        return self._transport.get(path("merchants", merchant, "usage"), MerchantUsage)

    def update(
        self,
        merchant: str,
        *,
        name: str | None = None,
        weight: int | None = None,
        limits: Limits | None = None,
    ) -> Merchant:
        """Change what is named; a limit that is not named stays as it is."""
        body = _named(name, weight, limits)
        return self._transport.patch(path("merchants", merchant), Merchant, body)


def _named(name: str | None, weight: int | None, limits: Limits | None) -> dict[str, Any]:
    given = {"name": name, "weight": weight, "limits": None if limits is None else dict(limits)}
    return {field: value for field, value in given.items() if value is not None}
