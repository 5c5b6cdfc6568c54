"""`regraft models …`: list, show, ask, download, promote; may import typer, client and contract."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from regraft.cli import answers, render
from regraft.cli.failures import REFUSED
from regraft.cli.following import followed
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
from regraft.contract.prediction import MAX_TOP, Embedded, Predicted, Prediction
from regraft.contract.refs import PRODUCTION

app = typer.Typer(no_args_is_help=True, help="Trained models.")
PhotosArg = Annotated[
    list[Path], typer.Argument(metavar="PHOTO…", help="Photos: JPEG, PNG or WebP.")
]
PoolOption = Annotated[bool, typer.Option("--pool", help="All photos show one product.")]
ModelArg = Annotated[str, typer.Argument(metavar="MODEL", help="md_…, name@alias or name:version.")]


NameArg = Annotated[str, typer.Argument(metavar="NAME", help="The model's registered name.")]
AliasOption = Annotated[str, typer.Option("--alias", help="The alias to move.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option(help="List the versions of this name alone.")] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List models, newest first."""
    with connect(ctx) as client:
        found = first(client.models.list(name=name, page_size=page_size(limit)), limit)
    show(listed(found), render.models(found), as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, model: ModelArg, as_json: Json = False) -> None:
    """Show one model: its quality and its files."""
    with connect(ctx) as client:
        found = client.models.get(model)
    show(found, render.model(found), as_json=as_json)


@app.command()
def drift(ctx: typer.Context, model: ModelArg, as_json: Json = False) -> None:
    """Show whether the photos that a model is asked about still look like what it learned."""
    with connect(ctx) as client:
        found = client.models.drift(model)
    show(found, render.drift(found), as_json=as_json)


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


@app.command()
def predict(
    ctx: typer.Context,
    model: ModelArg,
    photos: PhotosArg,
    *,
    top: Annotated[int, typer.Option(min=1, max=MAX_TOP, help="Labels to show for each.")] = 3,
    pool: PoolOption = False,
    as_json: Json = False,
) -> None:
    """Let the service recognise photos; `regraft predict` does so with a downloaded bundle."""
    with connect(ctx) as client:
        found = client.models.predict(model, photos, top=top, pool=pool)
    show(found, answers.predictions(_rows(found)), as_json=as_json)
    _fail_on_errors(found.results)


@app.command()
def embed(
    ctx: typer.Context,
    model: ModelArg,
    photos: PhotosArg,
    *,
    pool: PoolOption = False,
    as_json: Json = False,
) -> None:
    """Turn photos into vectors, to compare products by; --json prints them whole."""
    with connect(ctx) as client:
        found = client.models.embed(model, photos, pool=pool)
    show(found, answers.vectors(found.results), as_json=as_json)
    _fail_on_errors(found.results)


def _rows(found: Prediction) -> list[dict[str, Any]]:
    return [
        {
            **row.model_dump(mode="json"),
            "image": row.image or f"{row.num_images} photos",
            "error": row.error and row.error.message,
        }
        for row in found.results
    ]


def _fail_on_errors(results: Sequence[Predicted | Embedded]) -> None:
    if any(row.error for row in results):
        raise typer.Exit(REFUSED)


@app.command("add-classes")
def add_classes(
    ctx: typer.Context,
    model: ModelArg,
    *,
    dataset: Annotated[str, typer.Option(help="Images of what is new (ds_…).")],
    label: Annotated[
        str | None, typer.Option(help="The one to add; what images without labels show.")
    ] = None,
    test_dataset: Annotated[str | None, typer.Option(help="What to be tested on (ds_…).")] = None,
    no_guard: Annotated[
        bool, typer.Option("--no-guard", help="Even if known labels suffer.")
    ] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Watch it to its end.")] = False,
    as_json: Json = False,
) -> None:
    """Add labels to a model from a few images each, as its next version; nothing is trained."""
    fields = {"test_dataset": test_dataset, "guard": "off" if no_guard else "on"}
    with connect(ctx) as client:
        job = client.models.add_classes(model, dataset, label, **fields)
        if follow:
            job = followed(client, job.id, as_json=as_json)
    show(job, render.job(job), as_json=as_json)


@app.command()
def evaluate(
    ctx: typer.Context,
    model: ModelArg,
    *,
    dataset: Annotated[str, typer.Option(help="What to measure it on (ds_…).")],
    follow: Annotated[bool, typer.Option("--follow", help="Watch it to its end.")] = False,
    as_json: Json = False,
) -> None:
    """Measure a model on a dataset; nothing is trained."""
    with connect(ctx) as client:
        job = client.models.evaluate(model, dataset)
        if follow:
            job = followed(client, job.id, as_json=as_json)
    show(job, render.job(job), as_json=as_json)


@app.command()
def evaluations(
    ctx: typer.Context, model: ModelArg, limit: Limit = 20, as_json: Json = False
) -> None:
    """List the jobs that measured a model, newest first."""
    with connect(ctx) as client:
        found = first(client.models.evaluations(model, page_size=page_size(limit)), limit)
    show(listed(found), render.jobs(found), as_json=as_json)


@app.command()
def promote(
    ctx: typer.Context,
    name: NameArg,
    version: Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Its number.")],
    *,
    alias: AliasOption = PRODUCTION,
    force: Annotated[
        bool, typer.Option("--force", help="Even if it did worse on the same images.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let an alias name a version; one that did worse on the same images is refused."""
    with connect(ctx) as client:
        moved = client.models.promote(name, version, alias=alias, force=force)
    show(moved, render.alias(moved), as_json=as_json)


@app.command()
def rollback(
    ctx: typer.Context, name: NameArg, alias: AliasOption = PRODUCTION, as_json: Json = False
) -> None:
    """Let an alias name the version that it named before."""
    with connect(ctx) as client:
        moved = client.models.roll_back(name, alias=alias)
    show(moved, render.alias(moved), as_json=as_json)


@app.command()
def unalias(
    ctx: typer.Context,
    name: NameArg,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="The alias to take away.")],
    as_json: Json = False,
) -> None:
    """Take an alias away; the model stays."""
    with connect(ctx) as client:
        gone = client.models.remove_alias(name, alias)
    show(gone, f"{gone.id} is gone", as_json=as_json)


@app.command()
def delete(ctx: typer.Context, model: ModelArg, as_json: Json = False) -> None:
    """Delete a model and its files; not while an alias or a job uses it."""
    with connect(ctx) as client:
        gone = client.models.delete(model)
    show(gone, f"{gone.id} is gone", as_json=as_json)
