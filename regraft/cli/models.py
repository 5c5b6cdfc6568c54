"""`regraft models …`: list, show, download; may import typer, the client and the contract."""

from pathlib import Path
from typing import Annotated

import typer

from regraft.cli import render
from regraft.cli.progress import say, transfer
from regraft.cli.session import (
    Json,
    Limit,
    connect,
    first,
    listed,
    out,
    page_size,
    print_json,
    show,
)
from regraft.client.models import BUNDLE

app = typer.Typer(no_args_is_help=True, help="Trained models.")
ModelArg = Annotated[str, typer.Argument(metavar="MODEL", help="md_…, name@alias or name:version.")]


@app.command("list")
def list_(ctx: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List models, newest first."""
    with connect(ctx) as client:
        found = first(client.models.list(page_size=page_size(limit)), limit)
    show(listed(found), render.models(found), as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, model: ModelArg, as_json: Json = False) -> None:
    """Show one model: its quality and its files."""
    with connect(ctx) as client:
        found = client.models.get(model)
    show(found, render.model(found), as_json=as_json)


@app.command()
def download(
    ctx: typer.Context,
    model: ModelArg,
    file: Annotated[str, typer.Option(help="Which of its files.")] = BUNDLE,
    to: Annotated[Path, typer.Option(help="Folder to put it in; made if missing.")] = Path(),
    as_json: Json = False,
) -> None:
    """Download a file of a model; a broken download goes on where it stopped."""
    to.mkdir(parents=True, exist_ok=True)
    with connect(ctx) as client, transfer("Downloading", quiet=as_json) as on_bytes:
        path = client.models.download(model, file, to, on_progress=on_bytes)
    if as_json:
        print_json({"object": "download", "path": str(path), "bytes": path.stat().st_size})
    else:
        out().print(str(path), soft_wrap=True)
        if file == BUNDLE:
            say(f"recognise photos with it: regraft predict {path} PHOTO…")
