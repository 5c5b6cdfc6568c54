"""Erasures: delete a dataset, see first what goes with it, and read the record afterwards.

May import the contract and this package's own modules.
"""

from collections.abc import Callable, Iterator

from regraft.client.transport import Transport, new_key, path
from regraft.client.waiting import poll
from regraft.contract.erasure import Erasure, ErasurePreview, Models
from regraft.contract.resources import Page


class Erasures:
    """What the merchant had deleted, images and what was made from them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def preview(self, dataset: str, *, models: Models = "keep") -> ErasurePreview:
        """Return what an erasure would take and what stands in its way; nothing is changed."""
        body = {"dataset": dataset, "models": models}
        return self._transport.post(path("erasures", "preview"), ErasurePreview, body)

    def request(
        self, dataset: str, *, models: Models = "keep", idempotency_key: str | None = None
    ) -> Erasure:
        """Erase a dataset, and with `models="delete"` the models that were trained on it.

        It can be used no more at once; its bytes are gone when the erasure is `done`: see `wait`.

        Raises:
            ConflictError: (`in_use`) a job uses it, or a model that would go has an alias.
        """
        body = {"dataset": dataset, "models": models}
        key = idempotency_key or new_key()
        return self._transport.post(path("erasures"), Erasure, body, key)

    def cancel(self, erasure: str) -> Erasure:
        """Call an erasure off while it is `queued`: the dataset and its models are as before.

        Raises:
            ConflictError: it runs, or has ended.
        """
        return self._transport.delete(path("erasures", erasure), Erasure)

    def get(self, erasure: str) -> Erasure:
        """Return one erasure."""
        return self._transport.get(path("erasures", erasure), Erasure)

    def list(self, *, page_size: int = 100) -> Iterator[Erasure]:
        """Yield all erasures, newest first."""
        return self._transport.pages(path("erasures"), Page[Erasure], {"limit": page_size})

    def wait(
        self,
        erasure: str,
        *,
        on_update: Callable[[Erasure], None] | None = None,
        timeout: float | None = None,
    ) -> Erasure:
        """Return the erasure once it is `done`, `failed` or `cancelled`; `timeout` in seconds.

        Raises:
            WaitTimeout: the time is up.
        """
        ended = {"done", "failed", "cancelled"}
        return poll(lambda: self.get(erasure), lambda it: it.status in ended, on_update, timeout)
