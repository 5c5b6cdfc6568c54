"""What an administrator reads and writes: merchants, limits and keys.

May import typer, rich, `regraft.cli.tables` and the contract.
"""

import re
from collections.abc import Mapping, Sequence

import typer
from rich.console import RenderableType

from regraft.cli.tables import fields, table
from regraft.contract.administration import Key, KeyWithText, Merchant
from regraft.contract.resources import MerchantUsage, Quota

_NO_LIMIT = "none"
_NUMBER = re.compile(r"[0-9]{1,16}")


def limits(**given: str | None) -> dict[str, int | None]:
    """Return the limits that are named, by their field; the word `none` stands for no limit.

    Raises:
        BadParameter: one is neither a whole number nor `none`.
    """
    return {name: _limit(name, text) for name, text in given.items() if text is not None}


def _limit(name: str, text: str) -> int | None:
    if text == _NO_LIMIT:
        return None
    if not _NUMBER.fullmatch(text):
        option = f"--{name.replace('_', '-')}"
        raise typer.BadParameter(f"{text!r} is no whole number, nor `none`", param_hint=option)
    return int(text)


def merchant(it: Merchant) -> RenderableType:
    """Return a merchant with its limits."""
    named = {name.replace("_", " "): f"at most {most:,}" for name, most in _set(it.limits).items()}
    head = {"merchant": it.id, "name": it.name, "weight": it.weight, "created": it.created_at}
    return fields({**head, **named})


def merchants(items: Sequence[Merchant]) -> RenderableType:
    """Return one row for each merchant."""
    return table(
        ("merchant", "name", "weight", "limits", "created"),
        ((m.id, m.name, m.weight, _in_one_line(m.limits), m.created_at) for m in items),
    )


def _set(limits: Mapping[str, int | None]) -> dict[str, int]:
    return {name: most for name, most in limits.items() if most is not None}


def _in_one_line(limits: Mapping[str, int | None]) -> str:
    named = (f"{name.replace('_', ' ')} {most:,}" for name, most in _set(limits).items())
    return ", ".join(named) or "none"


def usage(it: MerchantUsage) -> RenderableType:
    """Return what a merchant uses, beside its limits."""
    head = {"month": it.month, "device time": f"{it.device_seconds:,.1f} s"}
    return fields({**head, **quotas(it.quotas)})


def quotas(items: Sequence[Quota]) -> dict[str, str]:
    """Return what is used of each thing, by its name in words."""
    return {one.name.replace("_", " "): _used(one) for one in items}


def _used(it: Quota) -> str:
    used = f"{it.used:,.10g}"
    return f"{used} used, no limit" if it.limit is None else f"{used} of {it.limit:,} used"


def key(it: Key) -> RenderableType:
    """Return a key, and its text where it is shown."""
    return fields(
        {
            "key": it.id,
            "merchant": it.merchant,
            "name": it.name,
            "begins": f"rg_{it.prefix}_…",
            "scopes": ", ".join(it.scopes),
            "created": it.created_at,
            "expires": it.expires_at or "never",
            "revoked": it.revoked_at,
            "text": it.key if isinstance(it, KeyWithText) else None,
        }
    )


def keys(items: Sequence[Key]) -> RenderableType:
    """Return one row for each key."""
    return table(
        ("key", "merchant", "name", "begins", "scopes", "expires", "revoked"),
        (
            (
                *(k.id, k.merchant, k.name, f"rg_{k.prefix}_…", ", ".join(k.scopes)),
                *(k.expires_at or "never", k.revoked_at),
            )
            for k in items
        ),
    )
