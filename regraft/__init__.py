"""Regraft for a merchant's engineer: the contract, the Python client and the command line.

The only package in the published wheel; it may import pydantic, httpx2, typer and rich.
"""

from typing import TYPE_CHECKING, Any

from regraft.contract.version import __version__ as __version__

if TYPE_CHECKING:
    from regraft.client import Client as Client


def __getattr__(name: str) -> Any:
    """Load the client on first use: the contract's readers (every service) never need it."""
    if name == "Client":
        from regraft.client import Client  # noqa: PLC0415 -- that is the point

        return Client
    raise AttributeError(f"module 'regraft' has no attribute {name!r}")
