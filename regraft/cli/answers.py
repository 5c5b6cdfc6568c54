"""What a person reads of answers about photos: labels, vectors, and what looks like them.

May import rich and the contract.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table

from regraft.cli.quality import points
from regraft.cli.tables import table
from regraft.contract.prediction import Embedded
from regraft.contract.search import Search


def predictions(results: Sequence[Mapping[str, Any]]) -> Table:
    """Return one row for each photo: its likeliest labels, or why it could not be read.

    A photo whose label is too unlikely to be answered says so.
    """
    return table(("image", "labels"), ((result["image"], _guesses(result)) for result in results))


def search(found: Search) -> Group:
    """Return one row for each image that was found, then what was left out or is not exact."""
    rows = table(
        ("score", "product", "label", "image", "name"),
        (
            (f"{row.score:.3f}", row.group or "", row.label or "", row.image, row.name)
            for row in found.results
        ),
    )
    notes = [f"{error.image}: {error.message}" for error in found.errors]
    if found.num_missing:
        notes.append(f"{found.num_missing} images have no features yet and were not compared")
    if not found.exact:
        notes.append(f"approximate: {found.recall:.0%} of the true neighbours are found")
    return Group(rows, *notes)


def vectors(results: Sequence[Embedded]) -> Table:
    """Return one row for each vector: its length and its beginning."""
    return table(
        ("image", "numbers", "vector"),
        (
            (row.image or f"{row.num_images} photos", len(row.vector or ()), _beginning(row))
            for row in results
        ),
    )


def _beginning(row: Embedded) -> str:
    if row.error:
        return f"error: {row.error.message}"
    return " ".join(f"{value:.3f}" for value in (row.vector or ())[:4]) + " …"


def _guesses(result: Mapping[str, Any]) -> str:
    if result["error"]:
        return f"error: {result['error']}"
    shown = "  ".join(f"{guess['label']} {points(guess['probability'])}" for guess in result["top"])
    return f"abstains, perhaps {shown}" if result["abstained"] else shown
