"""`regraft webhooks …`: endpoints, their secrets and what was sent; may import typer and client."""

from typing import Annotated

import typer

from regraft.cli import render
from regraft.cli.progress import say
from regraft.cli.session import Json, Limit, connect, first, listed, page_size, show
from regraft.contract.webhooks import (
    DEFAULT_OVERLAP_HOURS,
    MAX_OVERLAP_HOURS,
    WebhookEventType,
    WebhookWithSecret,
)

app = typer.Typer(no_args_is_help=True, help="Endpoints that are called when a job has ended.")
WebhookArg = Annotated[str, typer.Argument(metavar="WEBHOOK", help="An id such as whk_…")]
Events = Annotated[
    list[WebhookEventType] | None,
    typer.Option("--event", help="What to be told of, any number; everything unless given."),
]
_KEEP = "keep the secret now: it is not shown again"


@app.command()
def create(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="A public https address.")],
    *,
    events: Events = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    as_json: Json = False,
) -> None:
    """Add an endpoint and show its secret, this once."""
    with connect(ctx) as client:
        made = client.webhooks.create(url, events=events, description=description)
    _show_secret(made, as_json=as_json)


@app.command("list")
def list_(ctx: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """List endpoints, newest first."""
    with connect(ctx) as client:
        found = first(client.webhooks.list(page_size=page_size(limit)), limit)
    show(listed(found), render.webhooks(found), as_json=as_json)


@app.command("show")
def show_(ctx: typer.Context, webhook: WebhookArg, as_json: Json = False) -> None:
    """Show one endpoint."""
    with connect(ctx) as client:
        found = client.webhooks.get(webhook)
    show(found, render.webhook(found), as_json=as_json)


@app.command()
def update(
    ctx: typer.Context,
    webhook: WebhookArg,
    *,
    url: Annotated[str | None, typer.Option(help="Another address.")] = None,
    events: Events = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Call it again, or no more.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change an endpoint, or turn it off and on."""
    with connect(ctx) as client:
        found = client.webhooks.update(
            webhook, url=url, events=events, description=description, enabled=enabled
        )
    show(found, render.webhook(found), as_json=as_json)


@app.command()
def delete(ctx: typer.Context, webhook: WebhookArg, as_json: Json = False) -> None:
    """Delete an endpoint with its secrets and deliveries."""
    with connect(ctx) as client:
        gone = client.webhooks.delete(webhook)
    show(gone, f"{gone.id} is gone", as_json=as_json)


@app.command()
def rotate(
    ctx: typer.Context,
    webhook: WebhookArg,
    overlap_hours: Annotated[
        int,
        typer.Option(min=0, max=MAX_OVERLAP_HOURS, help="How long the old one signs too."),
    ] = DEFAULT_OVERLAP_HOURS,
    as_json: Json = False,
) -> None:
    """Replace the secret and show the new one, this once."""
    with connect(ctx) as client:
        made = client.webhooks.rotate(webhook, overlap_hours=overlap_hours)
    _show_secret(made, as_json=as_json)


@app.command("test")
def send_test(ctx: typer.Context, webhook: WebhookArg, as_json: Json = False) -> None:
    """Send a test event; `deliveries` shows how it went."""
    with connect(ctx) as client:
        sent = client.webhooks.test(webhook)
    show(sent, render.deliveries([sent]), as_json=as_json)


@app.command()
def deliveries(
    ctx: typer.Context,
    webhook: WebhookArg,
    status: Annotated[
        str | None, typer.Option(help="Only those: pending, succeeded or failed.")
    ] = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """List what was sent to an endpoint in the last 30 days, newest first."""
    with connect(ctx) as client:
        every = client.webhooks.deliveries(webhook, status=status, page_size=page_size(limit))
        found = first(every, limit)
    show(listed(found), render.deliveries(found), as_json=as_json)


@app.command()
def redeliver(
    ctx: typer.Context,
    webhook: WebhookArg,
    delivery: Annotated[str, typer.Argument(metavar="DELIVERY", help="An id such as whd_…")],
    as_json: Json = False,
) -> None:
    """Send an event again, under the id that it had."""
    with connect(ctx) as client:
        sent = client.webhooks.redeliver(webhook, delivery)
    show(sent, render.deliveries([sent]), as_json=as_json)


def _show_secret(made: WebhookWithSecret, *, as_json: bool) -> None:
    show(made, render.webhook(made), as_json=as_json)
    if not as_json:
        say(_KEEP)
