"""What all commands share: the connection, the `--json` option, and where text goes.

May import typer, rich, the client and the contract.
"""

import itertools
import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType

from regraft.client import Client

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else there.")]
Limit = Annotated[int, typer.Option(min=1, help="How many to show at most.")]
_WIDE = 200
_PAGE = 100


class Session(NamedTuple):
    """The options that stand before the command."""

    url: str | None
    api_key: str | None


def connect(ctx: typer.Context) -> Client:
    """Return a client for the options and the environment."""
    session = ctx.find_object(Session) or Session(None, None)
    return Client(session.url, session.api_key)


def out() -> Console:
    """Return the console of results; a pipe gets lines wide enough that no id is cut."""
    return _console(stderr=False)


def err() -> Console:
    """Return the console of progress and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def show(value: Any, human: RenderableType, *, as_json: bool) -> None:
    """Print `value` as JSON, or what a person reads."""
    if as_json:
        print_json(value)
    else:
        out().print(human)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout, in ASCII so that every terminal and pipe takes it."""
    typer.echo(json.dumps(value, indent=2, default=_as_json))


def listed(items: Iterable[BaseModel]) -> dict[str, Any]:
    """Return the JSON of a list."""
    return {"object": "list", "data": list(items)}


def page_size(limit: int) -> int:
    """Return how many items to ask for at once to show `limit`."""
    return min(limit, _PAGE)


def first(items: Iterable[Any], limit: int) -> list[Any]:
    """Return the first `limit` items, reading no further than that."""
    return list(itertools.islice(items, limit))


def _as_json(value: Any) -> Any:
    """Return a model as plain values; what JSON cannot carry (NaN) becomes null."""
    if isinstance(value, BaseModel):
        return json.loads(value.model_dump_json(by_alias=True))
    raise TypeError(f"{type(value).__name__} is no part of an answer")
