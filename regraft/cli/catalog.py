"""`regraft catalog`, `whoami`, `audit`, `version`; may import typer, client and contract."""

import platform

import typer
from rich.console import Group

from regraft import __version__
from regraft.cli import administration, render
from regraft.cli.session import Json, Limit, connect, first, listed, page_size, show
from regraft.cli.tables import fields


def catalog(ctx: typer.Context, as_json: Json = False) -> None:
    """List what can be trained and how."""
    with connect(ctx) as client:
        backbones, strategies = client.catalog.backbones(), client.catalog.strategies()
    human = Group(render.backbones(backbones), render.strategies(strategies))
    show({"backbones": backbones, "strategies": strategies}, human, as_json=as_json)


def whoami(ctx: typer.Context, as_json: Json = False) -> None:
    """Show whose key this is and what it may do."""
    with connect(ctx) as client:
        me = client.whoami()
    rows = {
        "merchant": f"{me.merchant_name} ({me.merchant})",
        "key": me.key,
        "scopes": ", ".join(me.scopes),
        **administration.quotas([one for one in me.quotas if one.limit is not None]),
    }
    show(me, fields(rows), as_json=as_json)


def audit(ctx: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List who changed what, newest first."""
    with connect(ctx) as client:
        found = first(client.audit(page_size=page_size(limit)), limit)
    show(listed(found), render.audit(found), as_json=as_json)


def version(as_json: Json = False) -> None:
    """Show the version of this program."""
    facts = {"object": "version", "regraft": __version__, "python": platform.python_version()}
    show(facts, f"regraft {__version__}", as_json=as_json)
