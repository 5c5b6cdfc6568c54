"""From options to the body of `POST /v1/jobs`; the service alone judges the values.

May import typer and the standard library.
"""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer

Body = dict[str, Any]


def read_spec(path: Path | None) -> Body:
    """Return the JSON object in a file, or on stdin for `-`; none is an empty one."""
    if path is None:
        return {}
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        body = json.loads(text, parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise typer.BadParameter(f"cannot read {path} as JSON: {error}") from error
    if not isinstance(body, dict):
        raise typer.BadParameter(f"{path} must hold one JSON object")
    return body


def pairs(texts: list[str] | None) -> dict[str, str]:
    """Return `KEY=VALUE` texts as a dictionary."""
    found = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{text!r} must have the form KEY=VALUE")
        found[key] = value
    return found


def base(backbone: str | None, model: str | None) -> Body | None:
    """Return where training starts, where an option says so."""
    if backbone and model:
        raise typer.BadParameter("give --backbone or --base-model, not both")
    return {"model": model} if model else {"backbone": backbone} if backbone else None


def scalar(text: str) -> Any:
    """Return a number, list, `true` and so on as JSON means it; anything else is text."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def put(body: Body, path: str, value: Any) -> None:
    """Set `hyperparameters.epochs` in a nested body; None sets nothing."""
    if value is None:
        return
    *parents, last = path.split(".")
    for name in parents:
        inner = body.setdefault(name, {})
        if not isinstance(inner, dict):
            raise typer.BadParameter(f"{path}: {name} is a value, it has no fields")
        body = inner
    body[last] = value


def put_all(body: Body, settings: list[str] | None) -> None:
    """Apply `--set path=value` texts in their order."""
    for path, text in pairs(settings).items():
        put(body, path, scalar(text))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
