"""Where the service is and which key opens it: arguments, then environment, then a file.

The file is `~/.config/regraft/config.toml` with `url = "…"` and `api_key = "…"`.
May import the standard library and this package's errors.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from regraft.client.errors import InvalidInput

_VISIBLE = re.compile(r"[\x21-\x7e]+")


class Connection(NamedTuple):
    """An address without a trailing slash, and a key that is safe to put in a header."""

    url: str
    api_key: str


def resolve(
    url: str | None, api_key: str | None, env: Mapping[str, str] = os.environ
) -> Connection:
    """Return the connection to use.

    Raises:
        InvalidInput: nothing gives an address or a key, or what gives it is malformed.
    """
    stored = _read(_path(env)) if not (url and api_key) else {}
    url = url or env.get("REGRAFT_URL") or stored.get("url")
    api_key = api_key or env.get("REGRAFT_API_KEY") or stored.get("api_key")
    if not url:
        raise InvalidInput(
            "no address of the service: set REGRAFT_URL (such as http://127.0.0.1:8080) or give url"
        )
    if not api_key:
        raise InvalidInput("no API key: set REGRAFT_API_KEY or give api_key")
    return Connection(_checked_url(url), _checked_key(api_key))


def _path(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "regraft" / "config.toml"


def _read(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"cannot read {path}: {error}") from error
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        visible = _VISIBLE.fullmatch(parts.netloc)
        fine = visible and parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise InvalidInput(f"{url!r} is no address: write it as http://host:port or https://host")
    return url.strip().rstrip("/")


def _checked_key(api_key: str) -> str:
    """Refuse what no header can carry, without repeating the secret."""
    key = api_key.strip()
    if not _VISIBLE.fullmatch(key):
        raise InvalidInput("the API key holds characters that no key has; copy it again")
    return key
