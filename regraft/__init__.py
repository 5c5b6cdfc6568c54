"""Regraft for a merchant's engineer: the contract, the Python client and the command line.

The only package in the published wheel; it may import pydantic, httpx2, typer and rich.
"""

__version__ = "0.1.0"
