"""From a failed validation to error details: each field's path as in the body, said once."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from regraft.contract.errors import ErrorDetail

MAX_DETAILS = 100
_BRANCH = re.compile(r"(constrained-|function-|nullable|literal\[|int$|float$|str$|bool$)")


def details(error: ValidationError, prefix: str = "") -> list[ErrorDetail]:
    """Return one detail for each field that is wrong, at most 100.

    A field that may also be `auto` fails once for each branch of its union; the branch that
    the user most likely meant is the one reported.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for fault in error.errors(include_url=False, include_input=False):
        path = _path(fault["loc"], prefix)
        if path not in found or found[path]["type"] == "literal_error":
            found[path] = fault
    return [
        ErrorDetail(param=path or None, code=str(fault["type"]), message=_message(fault))
        for path, fault in list(found.items())[:MAX_DETAILS]
    ]


def _path(loc: Iterable[int | str], prefix: str) -> str:
    """Return `hyperparameters.epochs` from a location, without the names of union branches."""
    parts = [prefix] if prefix else []
    for item in loc:
        if isinstance(item, int):
            parts.append(str(item))
        elif not _BRANCH.match(item):
            parts.append(printable(item, 64))
    return ".".join(parts)


def _message(fault: Mapping[str, Any]) -> str:
    text = str(fault["msg"]).removeprefix("Value error, ")
    return printable(text, 400)


def printable(text: str, length: int) -> str:
    """Return `text` cut to `length`, with whatever cannot be shown or encoded replaced."""
    safe = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return safe if len(safe) <= length else safe[: length - 1] + "…"
