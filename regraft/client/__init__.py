"""The Python client of a Regraft service: `Client` and the errors it raises.

May import httpx2, pydantic, the standard library and `regraft.contract`.
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from regraft import __version__
from regraft.client.batches import Batches
from regraft.client.catalog import Catalog
from regraft.client.config import resolve
from regraft.client.datasets import Datasets
from regraft.client.erasures import Erasures
from regraft.client.errors import (
    ApiError,
    AuthenticationError,
    ChecksumMismatch,
    ConflictError,
    ConnectionFailed,
    DatasetInvalid,
    InvalidInput,
    JobFailed,
    NotFoundError,
    RateLimited,
    RegraftError,
    SignatureInvalid,
    Unavailable,
    UnexpectedAnswer,
    ValidationFailed,
    WaitTimeout,
)
from regraft.client.jobs import Jobs
from regraft.client.keys import Keys
from regraft.client.merchants import Merchants
from regraft.client.models import Models
from regraft.client.retry import RetryPolicy
from regraft.client.transport import Transport, path
from regraft.client.webhooks import Webhooks, verify_webhook
from regraft.contract.registry import AuditEntry
from regraft.contract.resources import Page, Whoami

__all__ = [
    "ApiError",
    "AuthenticationError",
    "ChecksumMismatch",
    "Client",
    "ConflictError",
    "ConnectionFailed",
    "DatasetInvalid",
    "InvalidInput",
    "JobFailed",
    "NotFoundError",
    "RateLimited",
    "RegraftError",
    "RetryPolicy",
    "SignatureInvalid",
    "Unavailable",
    "UnexpectedAnswer",
    "ValidationFailed",
    "WaitTimeout",
    "verify_webhook",
]


class Client:
    """A merchant's way to the service; close it, or use it in a `with`.

    `url` and `api_key` default to REGRAFT_URL and REGRAFT_API_KEY, then to
    `~/.config/regraft/config.toml`. `timeout` is in seconds for each wait on the network.
    Every method raises a `RegraftError` and nothing else of the network's.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
    ) -> None:
        connection = resolve(url, api_key)
        agent = f"regraft-python/{__version__}"
        self._transport = Transport(connection, agent, retry or RetryPolicy(), timeout)
        self.datasets = Datasets(self._transport)
        self.erasures = Erasures(self._transport)
        self.batches = Batches(self._transport)
        self.jobs = Jobs(self._transport)
        self.models = Models(self._transport)
        self.catalog = Catalog(self._transport)
        self.webhooks = Webhooks(self._transport)
        self.merchants = Merchants(self._transport)
        self.keys = Keys(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._transport.url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def whoami(self) -> Whoami:
        """Return the merchant that the key belongs to and what it may do."""
        return self._transport.get(path("whoami"), Whoami)

    def audit(self, *, page_size: int = 100) -> Iterator[AuditEntry]:
        """Yield who changed what, newest first."""
        return self._transport.pages(path("audit"), Page[AuditEntry], {"limit": page_size})
