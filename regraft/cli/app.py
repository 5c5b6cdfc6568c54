"""The tree of commands, and the one place where errors become words and an exit code.

May import typer, rich, the client and the contract.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from regraft.cli import (
    batches,
    catalog,
    datasets,
    jobs,
    keys,
    merchants,
    models,
    predict,
    search,
    webhooks,
)
from regraft.cli.failures import report
from regraft.cli.session import Session


class Guarded(TyperGroup):
    """The root of the tree: no error leaves it as a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002 -- the signature is the base's
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run, report what goes wrong, and end the process with the code that says so."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(given, prog_name, complete_var, False, windows_expand_args, **extra)
        except Exception as error:  # noqa: BLE001 -- the edge of the program
            code = report(error, as_json="--json" in given)
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    name="regraft",
    cls=Guarded,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Adapt a pretrained vision backbone to your own products.",
)
app.add_typer(datasets.app, name="datasets")
app.add_typer(jobs.app, name="jobs")
app.add_typer(models.app, name="models")
app.add_typer(batches.app, name="batches")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(merchants.app, name="merchants")
app.add_typer(keys.app, name="keys")
app.command("predict")(predict.predict)
app.command("search")(search.search)
app.command("catalog")(catalog.catalog)
app.command("whoami")(catalog.whoami)
app.command("audit")(catalog.audit)
app.command("version")(catalog.version)


@app.callback()
def root(
    ctx: typer.Context,
    url: Annotated[
        str | None, typer.Option(help="Address of the service, else REGRAFT_URL.")
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="Key, else REGRAFT_API_KEY.")] = None,
) -> None:
    """Adapt a pretrained vision backbone to your own products."""
    ctx.obj = Session(url, api_key)
