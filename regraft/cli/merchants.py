"""`regraft merchants …`: who may use the service, and how much; may import typer and client."""

from typing import Annotated

import typer

from regraft.cli import administration as shown
from regraft.cli.progress import say
from regraft.cli.session import Json, Limit, connect, first, listed, page_size, show
from regraft.contract.administration import MAX_WEIGHT

app = typer.Typer(no_args_is_help=True, help="Merchants and their limits; for administrators.")
MerchantArg = Annotated[str, typer.Argument(metavar="MERCHANT", help="An id such as mer_…")]
Weight = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_WEIGHT, help="Part of the devices: 2 gets twice what 1 gets."),
]
StoredBytes = Annotated[
    str | None, typer.Option(metavar="N", help="Most bytes stored, or `none` for no limit.")
]
JobsQueued = Annotated[str | None, typer.Option(metavar="N", help="Most jobs that wait.")]
JobsRunning = Annotated[str | None, typer.Option(metavar="N", help="Most jobs at once.")]
DeviceMinutes = Annotated[
    str | None, typer.Option(metavar="N", help="Most minutes of the devices in a month (UTC).")
]


@app.command()
def create(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called.")],
    *,
    weight: Weight = None,
    stored_bytes: StoredBytes = None,
    jobs_queued: JobsQueued = None,
    jobs_running: JobsRunning = None,
    device_minutes: DeviceMinutes = None,
    as_json: Json = False,
) -> None:
    """Add a merchant; `regraft keys create` then gives it a key."""
    limits = shown.limits(
        stored_bytes=stored_bytes,
        jobs_queued=jobs_queued,
        jobs_running=jobs_running,
        device_minutes=device_minutes,
    )
    with connect(ctx) as client:
        made = client.merchants.create(name, weight=weight, limits=limits)
    show(made, shown.merchant(made), as_json=as_json)
    if not as_json:
        say(f"give it a key: regraft keys create {made.id}")


@app.command("list")
def list_(ctx: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List merchants, newest first."""
    with connect(ctx) as client:
        found = first(client.merchants.list(page_size=page_size(limit)), limit)
    show(listed(found), shown.merchants(found), as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, merchant: MerchantArg, as_json: Json = False) -> None:
    """Show one merchant with its limits."""
    with connect(ctx) as client:
        found = client.merchants.get(merchant)
    show(found, shown.merchant(found), as_json=as_json)


@app.command()
def usage(ctx: typer.Context, merchant: MerchantArg, as_json: Json = False) -> None:
    """Show what a merchant uses, beside its limits."""
    with connect(ctx) as client:
        found = client.merchants.usage(merchant)
    show(found, shown.usage(found), as_json=as_json)


@app.command()
def update(
    ctx: typer.Context,
    merchant: MerchantArg,
    *,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    weight: Weight = None,
    stored_bytes: StoredBytes = None,
    jobs_queued: JobsQueued = None,
    jobs_running: JobsRunning = None,
    device_minutes: DeviceMinutes = None,
    as_json: Json = False,
) -> None:
    """Change a merchant's name, weight or limits; what is not named stays."""
    limits = shown.limits(
        stored_bytes=stored_bytes,
        jobs_queued=jobs_queued,
        jobs_running=jobs_running,
        device_minutes=device_minutes,
    )
    with connect(ctx) as client:
        found = client.merchants.update(merchant, name=name, weight=weight, limits=limits or None)
    show(found, shown.merchant(found), as_json=as_json)
