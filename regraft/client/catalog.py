"""The catalogue: what can be trained, and how; may import the contract and this package."""

from collections.abc import Sequence

from regraft.client.transport import Transport, path
from regraft.contract.resources import Backbone, Page, Strategy


class Catalog:
    """What the service offers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def backbones(self) -> Sequence[Backbone]:
        """Return the backbones that a job may start from."""
        url = path("catalog", "backbones")
        return tuple(self._transport.pages(url, Page[Backbone], {}))

    def strategies(self) -> Sequence[Strategy]:
        """Return the strategies, each with its JSON schema and defaults."""
        url = path("catalog", "strategies")
        return tuple(self._transport.pages(url, Page[Strategy], {}))
