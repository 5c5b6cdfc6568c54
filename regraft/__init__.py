"""Regraft for a merchant's engineer: the contract, the Python client and the command line.

The only package in the published wheel; it may import pydantic, httpx2, typer and rich.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regraft.client import Client as Client

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the client on first use: the contract's readers (every service) never need it."""
    if name == "Client":
        from regraft.client import Client  # noqa: PLC0415 -- that is the point

        return Client
    raise AttributeError(f"module 'regraft' has no attribute {name!r}")
