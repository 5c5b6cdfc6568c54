"""Tables and cells: text of the service is never markup, and its control characters never printed.

May import rich and the contract.
"""

from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from regraft.contract.validation import printable

_LONGEST = 500


def fields(values: Mapping[str, object]) -> Table:
    """Return names beside values; what is None or empty is left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in values.items():
        if value not in {None, ""}:
            grid.add_row(name, text(value))
    return grid


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table whose first column, the id, is never cut."""
    shown = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    shown.columns[0].no_wrap = True
    for column in shown.columns:
        column.overflow = "fold"
    for row in rows:
        shown.add_row(*(text(value) for value in row))
    return shown


def text(value: object) -> Text:
    """Return a value as a cell; `None` is a dash."""
    return Text(printable("-" if value is None else str(value), _LONGEST))
