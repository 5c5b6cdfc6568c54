"""`regraft datasets …`: push, version, show, images, delete.

May import typer, rich, the client and the contract.
"""

from pathlib import Path
from typing import Annotated

import typer

from regraft.cli import render
from regraft.cli.failures import left_running
from regraft.cli.progress import say, transfer, watch_dataset, watch_erasure
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
from regraft.cli.submission import pairs
from regraft.client import Client
from regraft.contract.erasure import Models
from regraft.contract.resources import Dataset
from regraft.contract.verdict import Verdict

app = typer.Typer(no_args_is_help=True, help="Images to learn from.")
DatasetArg = Annotated[str, typer.Argument(metavar="DATASET", help="An id such as ds_…")]


@app.command()
def push(
    ctx: typer.Context,
    *,
    path: Annotated[Path, typer.Argument(help="A folder of class folders, a zip, a parquet file.")],
    name: Annotated[str | None, typer.Option(help="Name; else the folder's.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, any number.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the verdict on every image.")] = True,
    as_json: Json = False,
) -> None:
    """Upload images; waits until the service has looked at each of them."""
    with connect(ctx) as client:
        with transfer("Uploading", quiet=as_json) as on_bytes:
            dataset = client.datasets.push(path, name, pairs(metadata), on_progress=on_bytes)
        if wait:
            dataset = _checked(client, dataset, quiet=as_json)
    _show(dataset, as_json=as_json)


@app.command()
def version(
    ctx: typer.Context,
    *,
    dataset: DatasetArg,
    add: Annotated[
        Path | None,
        typer.Option(help="Images to add: a folder, a zip, a parquet file."),
    ] = None,
    relabel: Annotated[list[str] | None, typer.Option(help="IMAGE=LABEL, any number.")] = None,
    unlabel: Annotated[
        list[str] | None, typer.Option(help="An image that is to have no label, any number.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option(help="An image to leave out, any number.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name; else it stays.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; else it stays.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the verdict on every image.")] = True,
    as_json: Json = False,
) -> None:
    """Make the next version: add, relabel and remove images; the one before stays as it is."""
    labels: dict[str, str | None] = {**pairs(relabel), **dict.fromkeys(unlabel or [])}
    with connect(ctx) as client:
        with transfer("Uploading", quiet=as_json) as on_bytes:
            made = client.datasets.new_version(
                dataset,
                add=add,
                relabel=labels,
                remove=remove or [],
                name=name,
                metadata=pairs(metadata),
                on_progress=on_bytes,
            )
        if wait:
            made = _checked(client, made, quiet=as_json)
    _show(made, as_json=as_json)


@app.command("list")
def list_(ctx: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List datasets, newest first."""
    with connect(ctx) as client:
        found = first(client.datasets.list(page_size=page_size(limit)), limit)
    show(listed(found), render.datasets(found), as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, dataset: DatasetArg, as_json: Json = False) -> None:
    """Show one dataset."""
    with connect(ctx) as client:
        found = client.datasets.get(dataset)
    show(found, render.dataset(found), as_json=as_json)


@app.command()
def images(
    ctx: typer.Context,
    *,
    dataset: DatasetArg,
    verdict: Annotated[Verdict | None, typer.Option(help="Only those with this verdict.")] = None,
    rejected: Annotated[bool, typer.Option("--rejected", help="Only those left out.")] = False,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List a dataset's images and the verdict on each."""
    with connect(ctx) as client:
        size = 100 if rejected else page_size(limit)
        every = client.datasets.images(dataset, verdict=verdict, page_size=size)
        wanted = (it for it in every if not (rejected and render.is_kept(it)))
        found = first(wanted, limit)
    show(listed(found), render.images(found), as_json=as_json)


@app.command()
def image(
    ctx: typer.Context,
    *,
    dataset: DatasetArg,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An id such as img_…")],
    thumbnail: Annotated[bool, typer.Option("--thumbnail", help="A small JPEG of it.")] = False,
    to: Annotated[Path, typer.Option(help="Folder to put it in; made if missing.")] = Path(),
    as_json: Json = False,
) -> None:
    """Download a picture as it is trained on: upright, without metadata."""
    with connect(ctx) as client:
        take = client.datasets.thumbnail if thumbnail else client.datasets.image
        data = take(dataset, image)
    to.mkdir(parents=True, exist_ok=True)
    file = to / f"{image}{'.thumbnail' if thumbnail else ''}{_suffix(data)}"
    file.write_bytes(data)
    if as_json:
        print_json({"object": "download", "path": str(file), "bytes": len(data)})
    else:
        out().print(str(file), soft_wrap=True)


@app.command()
def delete(
    ctx: typer.Context,
    *,
    dataset: DatasetArg,
    models: Annotated[
        Models, typer.Option(help="What becomes of the models that were trained on it.")
    ] = "keep",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until its bytes are gone.")] = True,
    as_json: Json = False,
) -> None:
    """Erase a dataset, for ever: images, what was computed from them, and models if you say so."""
    with connect(ctx) as client:
        if dry_run:
            preview = client.erasures.preview(dataset, models=models)
            show(preview, render.erasure_preview(preview), as_json=as_json)
            return
        erasure = client.erasures.request(dataset, models=models)
        if wait:
            again = f"{erasure.id} goes on; to see it: regraft datasets erasures"
            with left_running(again), watch_erasure(quiet=as_json) as on_update:
                erasure = client.erasures.wait(erasure.id, on_update=on_update)
    show(erasure, render.erasure(erasure), as_json=as_json)
    if erasure.status == "failed":
        say(f"try it again: regraft datasets delete {dataset}")
    if erasure.status in {"failed", "cancelled"}:
        raise typer.Exit(1)


@app.command()
def erasures(ctx: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List what was erased, newest first."""
    with connect(ctx) as client:
        found = first(client.erasures.list(page_size=page_size(limit)), limit)
    show(listed(found), render.erasures(found), as_json=as_json)


@app.command("cancel-erasure")
def cancel_erasure(
    ctx: typer.Context,
    erasure: Annotated[str, typer.Argument(metavar="ERASURE", help="An id such as era_…")],
    as_json: Json = False,
) -> None:
    """Call an erasure off before it runs: the dataset and its models are as before."""
    with connect(ctx) as client:
        found = client.erasures.cancel(erasure)
    show(found, render.erasure(found), as_json=as_json)


def _checked(client: Client, dataset: Dataset, *, quiet: bool) -> Dataset:
    """Return a dataset once the service has looked at each of its images."""
    again = f"{dataset.id} goes on; to see it: regraft datasets show {dataset.id}"
    with left_running(again), watch_dataset(quiet=quiet) as on_update:
        return client.datasets.wait(dataset.id, on_update=on_update)


def _show(dataset: Dataset, *, as_json: bool) -> None:
    show(dataset, render.dataset(dataset), as_json=as_json)
    if dataset.num_rejected and not as_json:
        say(f"see why images were left out: regraft datasets images {dataset.id} --rejected")


def _suffix(data: bytes) -> str:
    """Return what the name of a picture ends with; the service sends JPEG, PNG and WebP."""
    return {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}.get(data[:2], "")
