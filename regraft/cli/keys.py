"""`regraft keys …`: the keys of every merchant, and their ends; may import typer and client."""

from typing import Annotated

import typer

from regraft.cli import administration as shown
from regraft.cli.progress import say
from regraft.cli.session import Json, Limit, connect, first, listed, page_size, show
from regraft.contract.administration import (
    DEFAULT_OVERLAP_HOURS,
    MAX_DAYS,
    MAX_OVERLAP_HOURS,
    KeyWithText,
)

app = typer.Typer(no_args_is_help=True, help="API keys of every merchant; for administrators.")
KeyArg = Annotated[str, typer.Argument(metavar="KEY", help="An id such as key_…")]
_KEEP = "keep the key's text now: it is not shown again"


@app.command()
def create(
    ctx: typer.Context,
    merchant: Annotated[str, typer.Argument(metavar="MERCHANT", help="An id such as mer_…")],
    *,
    name: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", help="read, write or admin, any number; read and write unless given."
        ),
    ] = None,
    days: Annotated[
        int | None, typer.Option(min=1, max=MAX_DAYS, help="Days until it ends; else never.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add a key for a merchant and show its text, this once."""
    with connect(ctx) as client:
        made = client.keys.create(merchant, name=name, scopes=scopes, days=days)
    _show_text(made, as_json=as_json)


@app.command("list")
def list_(
    ctx: typer.Context,
    merchant: Annotated[str | None, typer.Option(help="Only this merchant's, by its id.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List keys, newest first; never their text."""
    with connect(ctx) as client:
        found = first(client.keys.list(merchant=merchant, page_size=page_size(limit)), limit)
    show(listed(found), shown.keys(found), as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, key: KeyArg, as_json: Json = False) -> None:
    """Show one key; never its text."""
    with connect(ctx) as client:
        found = client.keys.get(key)
    show(found, shown.key(found), as_json=as_json)


@app.command()
def rotate(
    ctx: typer.Context,
    key: KeyArg,
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=MAX_OVERLAP_HOURS, help="How long the old one still works.")
    ] = DEFAULT_OVERLAP_HOURS,
    as_json: Json = False,
) -> None:
    """Make a key like this one and show its text, this once; the old one ends after a while."""
    with connect(ctx) as client:
        made = client.keys.rotate(key, overlap_hours=overlap_hours)
    _show_text(made, as_json=as_json)


@app.command()
def revoke(ctx: typer.Context, key: KeyArg, as_json: Json = False) -> None:
    """End a key at once."""
    with connect(ctx) as client:
        gone = client.keys.revoke(key)
    show(gone, f"{gone.id} works no more", as_json=as_json)


def _show_text(made: KeyWithText, *, as_json: bool) -> None:
    show(made, shown.key(made), as_json=as_json)
    if not as_json:
        say(_KEEP)
