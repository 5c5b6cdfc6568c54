"""API keys, for administrators: make, list, rotate and revoke the keys of every merchant.

Every method needs a key with the scope `admin`. May import the contract and this package's own
modules.
"""

from collections.abc import Iterator, Sequence

from regraft.client.transport import Transport, path
from regraft.contract.administration import DEFAULT_OVERLAP_HOURS, Key, KeyWithText
from regraft.contract.registry import Deleted
from regraft.contract.resources import Page


class Keys:
    """The keys of the installation; their text is shown once, when they are made.

    No request here is sent twice by itself, since each that arrives makes a key.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        merchant: str,
        *,
        name: str | None = None,
        scopes: Sequence[str] | None = None,
        days: int | None = None,
    ) -> KeyWithText:
        """Add a key for a merchant and return its text, this once.

        `scopes` are of `read`, `write` and `admin`, the first two unless given, and none that the
        caller's own key lacks; it ends after so many `days`, or never.
        """
        given = {"merchant": merchant, "name": name, "scopes": scopes and [*scopes], "days": days}
        body = {field: value for field, value in given.items() if value is not None}
        return self._transport.post(path("keys"), KeyWithText, body)

    def get(self, key: str) -> Key:
        """Return one key, without its text."""
        return self._transport.get(path("keys", key), Key)

    def list(self, *, merchant: str | None = None, page_size: int = 100) -> Iterator[Key]:
        """Yield the keys of one merchant, or of all, newest first."""
        params = {"merchant": merchant, "limit": page_size}
        return self._transport.pages(path("keys"), Page[Key], params)

    def rotate(self, key: str, *, overlap_hours: int = DEFAULT_OVERLAP_HOURS) -> KeyWithText:
        """Make a key like this one, which works for so many hours more, and return its text.

        Raises:
            ConflictError: the key is no longer valid.
        """
        body = {"overlap_hours": overlap_hours}
        return self._transport.post(path("keys", key, "rotate"), KeyWithText, body)

    def revoke(self, key: str) -> Deleted:
        """End a key at once.

        Raises:
            ConflictError: it is the key that asks.
        """
        return self._transport.delete(path("keys", key), Deleted)
