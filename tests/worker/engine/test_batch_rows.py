"""The rows of a batch come back from either format as they went in, and start no formula."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.contract.batch import BatchRow
from regraft.contract.prediction import Guess, PhotoError
from worker.engine.batch_rows import COLUMNS, Asked, head_of, line_of, read_asked, write_asked

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
_TRICKY = st.sampled_from(
    ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'90s mug", "a,b", 'a"b', "a\nb"]
)
_LABEL = _TEXT | _TRICKY


def _row(name: str, label: str, group: str | None = None) -> BatchRow:
    top = [Guess(label=label, probability=0.75), Guess(label="other", probability=0.25)]
    return BatchRow(
        image="img_1",
        name=name,
        group=group,
        label=label,
        probability=0.75,
        abstained=False,
        top=top,
        error=None,
    )


def _parsed(text: str) -> dict[str, str]:
    (row,) = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    return row


@given(name=_LABEL, label=_LABEL, group=_LABEL | st.none())
def test_csv_gives_every_text_back_and_no_formula(name: str, label: str, group: str | None) -> None:
    """A label from a supplier's file would run in the merchant's spreadsheet, or split a row."""
    row = _parsed(head_of("csv") + line_of("csv", _row(name, label, group)))
    assert list(row) == list(COLUMNS)
    for text, cell in ((name, row["name"]), (label, row["label"]), (group or "", row["group"])):
        assert cell[:1] not in set("=+-@\t\r\n")
        assert cell.removeprefix("'") == text or (cell == text and not text.startswith("'"))
    assert [guess["label"] for guess in json.loads(row["top"])] == [label, "other"]
    assert not any(cell.startswith(tuple("=+-@\t\r")) for cell in row.values())


@given(name=_LABEL, label=_LABEL)
def test_json_lines_are_the_contracts_rows(name: str, label: str) -> None:
    """A reader of lines would find half a row where a label holds a line's end."""
    row = _row(name, label)
    line = line_of("jsonl", row)
    assert line.count("\n") == 1
    assert BatchRow.model_validate_json(line) == row
    assert head_of("jsonl") == ""


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_image_in_error_has_a_row_too(form: str) -> None:
    """An image that was refused would be missing, and rows could not be counted."""
    error = PhotoError(code="truncated", message="=The file ends early.")
    asked = _row("a.jpg", "mug").model_copy(
        update={"label": None, "probability": None, "abstained": True, "top": [], "error": error}
    )
    if form == "jsonl":
        assert json.loads(line_of("jsonl", asked))["error"]["code"] == "truncated"
        return
    row = _parsed(head_of("csv") + line_of("csv", asked))
    assert (row["error"], row["error_message"]) == ("truncated", "'=The file ends early.")
    assert (row["label"], row["probability"], row["abstained"]) == ("", "", "true")


def test_what_is_asked_comes_back(tmp_path: Path) -> None:
    """The engine would answer about other images than the dataset has."""
    rows = [
        Asked("img_1", "Becher/größe\n1.jpg", None, "a" * 64, "ok", None),
        Asked("img_2", "x", "SKU-1", None, "truncated", "The file ends early."),
    ]
    assert write_asked(tmp_path / "rows", iter(rows)) == 2
    assert read_asked(tmp_path / "rows") == rows
