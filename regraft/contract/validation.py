"""From a failed validation to error details: each field's path as in the body, said once."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from regraft.contract.catalog import STRATEGIES
from regraft.contract.errors import ErrorDetail
from regraft.contract.job import BASE_KINDS

MAX_DETAILS = 100
_TAGS: dict[int | str, Collection[str]] = {"strategy": STRATEGIES, "base": BASE_KINDS}
_BRANCH = re.compile(r"(constrained-|function-|nullable|literal\[|int$|float$|str$|bool$|\[key\]$)")


def details(error: ValidationError, prefix: str = "") -> list[ErrorDetail]:
    """Return one detail for each field that is wrong, at most 100.

    A field that may also be `auto` fails once for each branch of its union; the branch that
    the user most likely meant is the one reported. A check across fields that finds one of a
    part at fault names it as `field` in its context.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for fault in error.errors(include_url=False, include_input=False):
        culprit = _culprit(fault.get("ctx", {}))
        loc = fault["loc"] if culprit is None else (*fault["loc"], culprit)
        path = _path(loc, prefix, named_by_user=fault["type"] == "extra_forbidden")
        if path not in found or found[path]["type"] == "literal_error":
            found[path] = fault
    return [
        ErrorDetail(param=path or None, code=str(fault["type"]), message=_message(fault))
        for path, fault in list(found.items())[:MAX_DETAILS]
    ]


def _culprit(context: Mapping[str, Any]) -> str | None:
    """Return the part of an object that is at fault: named by a check, or a union's `type`."""
    named = context.get("field") or context.get("discriminator")
    return None if named is None else str(named).strip("'")


def _path(loc: Sequence[int | str], prefix: str, *, named_by_user: bool) -> str:
    """Return `hyperparameters.epochs` from a location, without the names of union branches.

    The last name of an unknown field is the user's own, whatever it looks like.
    """
    parts = [prefix] if prefix else []
    for place, item in enumerate(loc, start=1):
        own = named_by_user and place == len(loc)
        is_tag = place > 1 and item in _TAGS.get(loc[place - 2], ())
        if isinstance(item, int):
            parts.append(str(item))
        elif own or not (is_tag or _BRANCH.match(item)):
            parts.append(printable(item, 64))
    return ".".join(parts)


def _message(fault: Mapping[str, Any]) -> str:
    text = str(fault["msg"]).removeprefix("Value error, ")
    return printable(text, 400)


def printable(text: str, length: int) -> str:
    """Return `text` cut to `length`, with whatever cannot be shown or encoded replaced."""
    safe = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return safe if len(safe) <= length else safe[: length - 1] + "…"
