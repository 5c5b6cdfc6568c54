"""What a process refuses to start with outside development, each fault as one sentence.

May import core.settings and the standard library.
"""

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from core.settings import Settings

_SQLITE = "sqlite:///"
_OTHERS = stat.S_IRWXO
_ON = frozenset({"1", "true", "yes", "on"})


def refuse_unsafe(given: Settings, *more: str) -> None:
    """End this process with one line if it would run unsafely; `more` are its own faults."""
    found = [*faults(given, os.environ), *more] if given.env == "production" else []
    if found:
        sys.exit(f"Regraft does not start: {' '.join(found)}")


def faults(given: Settings, environment: Mapping[str, str]) -> list[str]:
    """Return what is unsafe about settings, environment and the files that they name."""
    found = []
    if environment.get("FLASK_DEBUG", "").lower() in _ON:
        found.append("FLASK_DEBUG is set, which lets strangers run code: unset it.")
    if given.webhooks.allow_private:
        found.append(
            "REGRAFT_WEBHOOK_ALLOW_PRIVATE is set, which lets merchants call servers inside: "
            "unset it."
        )
    found += [
        f"{path} can be read by every user of this machine: run `chmod o= {path}`."
        for path in _secrets(given)
        if path.exists() and path.stat().st_mode & _OTHERS
    ]
    return found


def _secrets(given: Settings) -> Iterator[Path]:
    """Yield the files that hold keys or merchants' data."""
    yield given.home / "account.json"
    if given.url.startswith(_SQLITE):
        yield Path(given.url.removeprefix(_SQLITE))
