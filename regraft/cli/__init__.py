"""The command line `regraft`; may import typer, rich, the client and the contract.

Exit codes: 0 fine · 1 the service refused, or a job failed · 2 usage · 3 no service reached.
"""

import io
import sys


def main() -> None:
    """Run the command line with this process's arguments; does not return."""
    from regraft.cli.app import app  # noqa: PLC0415 -- whoever imports the package pays nothing

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a label must not end a run on an old terminal
    app()
