"""`manifest.csv` and `manifest.jsonl`: the label, group and split of each file of an upload.

May import the standard library, core and regraft.contract.
"""

import csv
import io
from collections.abc import Iterator
from typing import NamedTuple

from core import strict_json
from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode
from regraft.contract.status import SPLITS

MANIFESTS = ("manifest.csv", "manifest.jsonl")

_COLUMNS = ("path", "label", "group", "split")


class ArchiveError(RefusedError):
    """An upload that is no usable container; `param` is the part it came in."""

    def __init__(self, code: ErrorCode, message: str, param: str | None = "file") -> None:
        super().__init__(code, message, param)


class Listed(NamedTuple):
    """One line of a manifest; `line` counts from 1."""

    manifest: str
    line: int
    path: str
    label: str | None
    group: str | None
    split: str | None

    def fault(self, message: str) -> ArchiveError:
        """Return the error that says what is wrong with this line."""
        return _fault(self.manifest, self.line, message)


def parse_manifest(name: str, data: bytes, max_text_bytes: int) -> Iterator[Listed]:
    """Yield the lines of a manifest; raises `ArchiveError` with the number of a bad line."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _fault(name, data[: error.start].count(b"\n") + 1, "is not UTF-8") from error
    rows = _csv_rows(name, text) if name.endswith(".csv") else _json_rows(name, text)
    for line, row in rows:
        yield _listed(name, line, row, max_text_bytes)


def _listed(name: str, line: int, row: dict[str, object], max_text_bytes: int) -> Listed:
    values: dict[str, str | None] = {}
    for column in _COLUMNS:
        value = row.get(column)
        if value is not None and not isinstance(value, str):
            raise _fault(name, line, f"`{column}` must be text")
        if value is not None and len(value.encode("utf-8", "replace")) > max_text_bytes:
            raise _fault(name, line, f"`{column}` is longer than {max_text_bytes} bytes")
        values[column] = value or None
    if values["path"] is None:
        raise _fault(name, line, "`path` is missing")
    if values["split"] not in {None, *SPLITS}:
        raise _fault(name, line, f"`split` must be one of: {', '.join(SPLITS)}")
    return Listed(name, line, values["path"], values["label"], values["group"], values["split"])


def _csv_rows(name: str, text: str) -> Iterator[tuple[int, dict[str, object]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        _check_columns(name, 1, header)
        for row in reader:
            if len(row) > len(header):
                raise _fault(name, reader.line_num, "has more values than the header")
            if row:
                yield reader.line_num, dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise _fault(name, max(1, reader.line_num), f"is not CSV: {error}") from error


def _json_rows(name: str, text: str) -> Iterator[tuple[int, dict[str, object]]]:
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        try:
            row = strict_json.parse(source)
        except strict_json.InvalidJsonError as error:
            raise _fault(name, line, str(error)) from error
        if not isinstance(row, dict):
            raise _fault(name, line, "is not a JSON object")
        _check_columns(name, line, list(row))
        yield line, row


def _check_columns(name: str, line: int, columns: list[str]) -> None:
    if "path" not in columns:
        raise _fault(name, line, "`path` is missing")
    if len(set(columns)) != len(columns):
        raise _fault(name, line, "has the same column twice")
    for column in columns:
        if column not in _COLUMNS:
            raise _fault(name, line, f"unknown column {column[:40]!a}")


def _fault(name: str, line: int, message: str) -> ArchiveError:
    return ArchiveError(ErrorCode.DATASET_INVALID, f"{name}, line {line}: {message}.")
