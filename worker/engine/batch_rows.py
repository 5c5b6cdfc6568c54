"""The rows of a batch: what is asked, and each answer as a line of JSON or of CSV.

A spreadsheet takes a cell for a formula that begins like one (OWASP, CSV injection): in CSV such a
text, and one that begins with an apostrophe, gets an apostrophe in front, so that taking one away
gives the text back. No torch here.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from regraft.contract.batch import BatchFormat, BatchRow

COLUMNS = (
    "image",
    "name",
    "group",
    "label",
    "probability",
    "abstained",
    "top",
    "error",
    "error_message",
)
# The full-width forms are what some spreadsheets make of them.
_FORMULA = tuple("=+-@\t\r\n'\uff1d\uff0b\uff0d\uff20")


class Asked(NamedTuple):
    """An image of the dataset: its id, path and product, the hash of its clean copy, if it has one.

    `verdict` and `message` are what the upload said of it.
    """

    image: str
    name: str
    group: str | None
    sha256: str | None
    verdict: str
    message: str | None


def write_asked(path: Path, rows: Iterator[Asked]) -> int:
    """Write a line for each row; return how many there are."""
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for count, row in enumerate(rows, 1):  # noqa: B007 - the last one counts
            out.write(json.dumps(row) + "\n")
    return count


def read_asked(path: Path) -> list[Asked]:
    """Return the rows in their order."""
    with path.open(encoding="utf-8") as lines:
        return [Asked(*json.loads(line)) for line in lines]


def head_of(form: BatchFormat) -> str:
    """Return what a file of this format begins with."""
    return _csv(list(COLUMNS)) if form == "csv" else ""


def line_of(form: BatchFormat, row: BatchRow) -> str:
    """Return one answer as a line, its end included."""
    return _csv(_cells(row)) if form == "csv" else row.model_dump_json() + "\n"


def _cells(row: BatchRow) -> list[str]:
    top = [guess.model_dump() for guess in row.top]
    return [
        row.image,
        _inert(row.name),
        _inert(row.group or ""),
        _inert(row.label or ""),
        "" if row.probability is None else str(row.probability),
        str(row.abstained).lower(),
        json.dumps(top, ensure_ascii=False),
        row.error.code if row.error else "",
        _inert(row.error.message) if row.error else "",
    ]


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv(cells: list[str]) -> str:
    """Return a line as RFC 4180 has it."""
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
