"""`regraft search`: the images of a dataset that look most like photos.

May import typer, the client and the contract.
"""

from pathlib import Path
from typing import Annotated

import typer

from regraft.cli import answers
from regraft.cli.failures import REFUSED
from regraft.cli.session import Json, connect, show


def search(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Its id, ds_….")],
    images: Annotated[list[Path], typer.Argument(help="Photos, all of one product.")],
    *,
    top: Annotated[int, typer.Option(min=1, max=100, help="How many to show.")] = 10,
    group: Annotated[bool, typer.Option("--group", help="Each product once.")] = False,
    model: Annotated[
        str | None,
        typer.Option(help="Seen by this model, else by the newest trained on the dataset."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the images of a dataset that look most like photos."""
    with connect(ctx) as client:
        found = client.datasets.search(dataset, images, top=top, group=group, model=model)
    show(found, answers.search(found), as_json=as_json)
    if found.errors:
        raise typer.Exit(REFUSED)
