"""`regraft batches …`: submit, follow, list, show, steer, download; may import the client."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from regraft.cli import render
from regraft.cli.failures import left_running
from regraft.cli.progress import say, transfer, watch_job
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
from regraft.client.batches import Batches
from regraft.contract.batch import Batch
from regraft.contract.prediction import MAX_TOP

app = typer.Typer(no_args_is_help=True, help="A model's answers about a whole dataset.")
BatchArg = Annotated[str, typer.Argument(metavar="BATCH", help="An id such as job_…")]
Follow = Annotated[bool, typer.Option("--follow", help="Watch it to its end.")]


@app.command()
def submit(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="md_…, name@alias or name:version.")],
    dataset: Annotated[str, typer.Argument(help="What to answer about (ds_…).")],
    *,
    form: Annotated[
        Literal["jsonl", "csv"], typer.Option("--format", help="Of the answers' file.")
    ] = "jsonl",
    top: Annotated[int, typer.Option(min=1, max=MAX_TOP, help="Labels to list for each.")] = 3,
    name: Annotated[str | None, typer.Option(help="What to call the batch.")] = None,
    max_minutes: Annotated[int | None, typer.Option(help="When to give up.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, any number.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Same key, same batch.")] = None,
    follow: Follow = False,
    as_json: Json = False,
) -> None:
    """Let a model answer about every image of a dataset."""
    more = {
        "name": name,
        "limits": max_minutes and {"max_minutes": max_minutes},
        "metadata": pairs(metadata) or None,
    }
    fields = {"model": model, "dataset": dataset, "format": form, "top": top}
    fields |= {field: value for field, value in more.items() if value is not None}
    with connect(ctx) as client:
        found = client.batches.submit(None, idempotency_key=idempotency_key, **fields)
        if follow:
            if not as_json:
                say(f"submitted {found.id}")
            found = _follow(client, found.id, as_json=as_json)
    show(found, render.batch(found), as_json=as_json)


def _follow(client: Client, batch: str, *, as_json: bool) -> Batch:
    """Return the batch once it has succeeded; stopping the watch does not stop the batch."""
    again = f"{batch} goes on; to watch again: regraft batches follow {batch}"
    with left_running(again), watch_job(quiet=as_json) as on_update:
        return client.batches.wait(batch, on_update=on_update)


@app.command()
def follow(ctx: typer.Context, batch: BatchArg, as_json: Json = False) -> None:
    """Watch a batch to its end."""
    with connect(ctx) as client:
        done = _follow(client, batch, as_json=as_json)
    show(done, render.batch(done), as_json=as_json)


@app.command("list")
def list_(
    ctx: typer.Context,
    *,
    dataset: Annotated[str | None, typer.Option(help="Only those about it.")] = None,
    model: Annotated[str | None, typer.Option(help="Only those that ask it (md_…).")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List batches, newest first."""
    with connect(ctx) as client:
        every = client.batches.list(dataset=dataset, model=model, page_size=page_size(limit))
        found = first(every, limit)
    show(listed(found), render.batches(found), as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, batch: BatchArg, as_json: Json = False) -> None:
    """Show one batch."""
    with connect(ctx) as client:
        found = client.batches.get(batch)
    show(found, render.batch(found), as_json=as_json)


@app.command()
def download(
    ctx: typer.Context,
    batch: BatchArg,
    to: Annotated[Path, typer.Option(help="Folder to put it in; made if missing.")] = Path(),
    as_json: Json = False,
) -> None:
    """Download the answers; a broken download goes on where it stopped."""
    to.mkdir(parents=True, exist_ok=True)
    with connect(ctx) as client, transfer("Downloading", quiet=as_json) as on_bytes:
        path = client.batches.download(batch, to, on_progress=on_bytes)
    if as_json:
        print_json({"object": "download", "path": str(path), "bytes": path.stat().st_size})
    else:
        out().print(str(path), soft_wrap=True)


def _steer(
    ctx: typer.Context, batch: str, verb: Callable[[Batches, str], Batch], *, as_json: bool
) -> None:
    with connect(ctx) as client:
        found = verb(client.batches, batch)
    show(found, render.batch(found), as_json=as_json)


@app.command()
def cancel(ctx: typer.Context, batch: BatchArg, as_json: Json = False) -> None:
    """Cancel a batch; it leaves no answers."""
    _steer(ctx, batch, Batches.cancel, as_json=as_json)


@app.command()
def pause(ctx: typer.Context, batch: BatchArg, as_json: Json = False) -> None:
    """Pause a batch; `resume` goes on behind what it has answered."""
    _steer(ctx, batch, Batches.pause, as_json=as_json)


@app.command()
def resume(ctx: typer.Context, batch: BatchArg, as_json: Json = False) -> None:
    """Queue a paused batch again."""
    _steer(ctx, batch, Batches.resume, as_json=as_json)


@app.command()
def retry(ctx: typer.Context, batch: BatchArg, as_json: Json = False) -> None:
    """Submit a batch that has ended once more, as a new one."""
    _steer(ctx, batch, Batches.retry, as_json=as_json)


@app.command("delete-file")
def delete_file(ctx: typer.Context, batch: BatchArg, as_json: Json = False) -> None:
    """Delete the answers of a batch that has ended; its record stays."""
    with connect(ctx) as client:
        gone = client.batches.delete_file(batch)
    show(gone, f"the answers of {gone.id} are gone", as_json=as_json)
