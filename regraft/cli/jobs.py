"""`regraft jobs …`: submit, follow, list, show, steer, events; may import typer and the client."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from regraft.cli import render
from regraft.cli.failures import left_running
from regraft.cli.following import followed
from regraft.cli.progress import say
from regraft.cli.session import Json, Limit, connect, first, listed, out, page_size, show
from regraft.cli.submission import Body, base, pairs, put, put_all, read_spec, scalar
from regraft.client import JobFailed
from regraft.client.jobs import Jobs
from regraft.contract.resources import Job
from regraft.contract.status import ShownStatus

app = typer.Typer(no_args_is_help=True, help="Adaptation jobs.")
JobArg = Annotated[str, typer.Argument(metavar="JOB", help="An id such as job_…")]
Value = typer.Option(metavar="N|auto", help="A number, or auto.")


@app.command()
def submit(
    ctx: typer.Context,
    *,
    dataset: Annotated[str | None, typer.Option(help="What to learn from (ds_…).")] = None,
    test_dataset: Annotated[str | None, typer.Option(help="What to be tested on (ds_…).")] = None,
    source_dataset: Annotated[
        str | None, typer.Option(help="Labelled images of another domain (ds_…).")
    ] = None,
    unlabelled_dataset: Annotated[
        str | None, typer.Option(help="Images like the dataset's, without labels (ds_…).")
    ] = None,
    base_model: Annotated[
        str | None,
        typer.Option(help="A model to start from: id, name:version or name@alias."),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="See `regraft catalog`.")] = None,
    strategy: Annotated[str | None, typer.Option(help="See `regraft catalog`.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the job.")] = None,
    register_as: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    epochs: Annotated[str | None, Value] = None,
    batch_size: Annotated[str | None, Value] = None,
    learning_rate: Annotated[str | None, Value] = None,
    weight_decay: Annotated[str | None, Value] = None,
    compare: Annotated[list[str] | None, typer.Option(help="Such as from_scratch.")] = None,
    max_minutes: Annotated[int | None, typer.Option(help="When to give up.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random choice.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, any number.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any field: validation.fraction=0.3")
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="The body as a JSON file; - is stdin.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Same key, same job.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it to its end.")] = False,
    as_json: Json = False,
) -> None:
    """Submit a job. Options win over --spec, and --set wins over options."""
    body = read_spec(spec)
    numbers = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
    }
    for field, text in numbers.items():
        put(body, f"hyperparameters.{field}", text and scalar(text))
    put(body, "dataset", dataset)
    put(body, "test_dataset", test_dataset)
    put(body, "source_dataset", source_dataset)
    put(body, "unlabelled_dataset", unlabelled_dataset)
    put(body, "base", base(backbone, base_model))
    put(body, "strategy", strategy and {"type": strategy})
    put(body, "name", name)
    put(body, "register_as", register_as)
    put(body, "comparisons", compare or None)
    put(body, "limits.max_minutes", max_minutes)
    put(body, "seed", seed)
    put(body, "metadata", pairs(metadata) or None)
    put_all(body, settings)
    _send(ctx, body, idempotency_key, follow=follow, as_json=as_json)


def _send(
    ctx: typer.Context, body: Body, idempotency_key: str | None, *, follow: bool, as_json: bool
) -> None:
    if not body.get("dataset"):
        raise typer.BadParameter("give --dataset, or a --spec that names one")
    with connect(ctx) as client:
        job = client.jobs.submit(None, idempotency_key=idempotency_key, **body)
        if follow:
            if not as_json:
                say(f"submitted {job.id}")
            job = followed(client, job.id, as_json=as_json)
    show(job, render.job(job), as_json=as_json)


@app.command()
def follow(ctx: typer.Context, job: JobArg, as_json: Json = False) -> None:
    """Watch a job to its end and show what came of it."""
    with connect(ctx) as client:
        done = followed(client, job, as_json=as_json)
    show(done, render.job(done), as_json=as_json)


@app.command()
def watch(ctx: typer.Context, job: JobArg, as_json: Json = False) -> None:
    """Print what happens to a job as it happens, a line for each event, to its end."""
    again = f"{job} goes on; to watch again: regraft jobs watch {job}"
    with connect(ctx) as client, left_running(again):
        for event in client.jobs.follow(job):
            if as_json:
                typer.echo(event.model_dump_json())
            else:
                out().print(render.event(event), soft_wrap=True)
        done = client.jobs.get(job)
    if done.status.value != ShownStatus.SUCCEEDED:
        raise JobFailed(done)


@app.command("list")
def list_(
    ctx: typer.Context,
    *,
    status: Annotated[ShownStatus | None, typer.Option(help="Only those with it.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only those that learn from it.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with connect(ctx) as client:
        every = client.jobs.list(status=status, dataset=dataset, page_size=page_size(limit))
        found = first(every, limit)
    show(listed(found), render.jobs(found), as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, job: JobArg, as_json: Json = False) -> None:
    """Show one job, and its quality once it has succeeded."""
    with connect(ctx) as client:
        found = client.jobs.get(job)
    show(found, render.job(found), as_json=as_json)


def _steer(
    ctx: typer.Context, job: str, verb: Callable[[Jobs, str], Job], *, as_json: bool
) -> None:
    with connect(ctx) as client:
        found = verb(client.jobs, job)
    show(found, render.job(found), as_json=as_json)


@app.command()
def cancel(ctx: typer.Context, job: JobArg, as_json: Json = False) -> None:
    """Cancel a job; what it made is dropped."""
    _steer(ctx, job, Jobs.cancel, as_json=as_json)


@app.command()
def stop(ctx: typer.Context, job: JobArg, as_json: Json = False) -> None:
    """End the training of a running job now and keep the best model."""
    _steer(ctx, job, Jobs.stop, as_json=as_json)


@app.command()
def pause(ctx: typer.Context, job: JobArg, as_json: Json = False) -> None:
    """Pause a job; `resume` goes on from its last checkpoint."""
    _steer(ctx, job, Jobs.pause, as_json=as_json)


@app.command()
def resume(ctx: typer.Context, job: JobArg, as_json: Json = False) -> None:
    """Queue a paused job again."""
    _steer(ctx, job, Jobs.resume, as_json=as_json)


@app.command()
def retry(
    ctx: typer.Context,
    job: JobArg,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it to its end.")] = False,
    as_json: Json = False,
) -> None:
    """Submit a job that has ended once more, as a new job."""
    with connect(ctx) as client:
        found = client.jobs.retry(job)
        if follow:
            found = followed(client, found.id, as_json=as_json)
    show(found, render.job(found), as_json=as_json)


@app.command()
def queue(ctx: typer.Context, as_json: Json = False) -> None:
    """Show your fair share of the devices, and why your next job waits."""
    with connect(ctx) as client:
        found = client.jobs.queue()
    show(found, render.queue(found), as_json=as_json)


@app.command()
def events(ctx: typer.Context, job: JobArg, limit: Limit = 1000, as_json: Json = False) -> None:
    """List what happened to a job, oldest first."""
    with connect(ctx) as client:
        found = first(client.jobs.events(job, page_size=page_size(limit)), limit)
    show(listed(found), render.events(found), as_json=as_json)


@app.command()
def checkpoints(ctx: typer.Context, job: JobArg, as_json: Json = False) -> None:
    """List what a job can go on from, newest first; there are two at most."""
    with connect(ctx) as client:
        found = list(client.jobs.checkpoints(job))
    show(listed(found), render.checkpoints(found), as_json=as_json)
