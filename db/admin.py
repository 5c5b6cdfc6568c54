"""Merchants and keys from a shell on the server: `python -m db.admin create-merchant NAME`.

May import core, db and regraft.contract.
"""

import argparse
import json
import sys
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core.refusals import RefusedError
from core.settings import settings
from db.failures import in_one_line
from db.repositories import keys, quotas
from db.session import Database

_DAY = 86_400.0
_UNTOUCHED = object()
_QUOTAS = {
    "stored_bytes": "bytes of uploads, images, models and checkpoints; `none` for no limit",
    "jobs_queued": "jobs that wait; a submit beyond is refused",
    "jobs_running": "jobs that run at once; further ones wait",
    "device_minutes": "minutes of the devices in a month (UTC)",
}


def main(arguments: Sequence[str] | None = None, url: str | None = None) -> int:
    """Run one command and return its exit code: 0, or 1 for a reason that is printed.

    The database is the process's own unless `url` names another.
    """
    given = _parser().parse_args(arguments)
    try:
        shown = _run(given, url or settings().url)
    except RefusedError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    except SQLAlchemyError as error:
        sys.stderr.write(f"{in_one_line(error)}\n")
        return 1
    sys.stdout.write((json.dumps(shown) if given.json else _lines(shown)) + "\n")
    return 0


def _run(given: argparse.Namespace, url: str) -> dict[str, object]:
    database = Database(url)
    try:
        with database.write() as session:
            shown: dict[str, object] = given.run(session, given)
    finally:
        database.dispose()
    return shown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m db.admin", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    merchant = commands.add_parser("create-merchant", help="add a merchant with a first key")
    merchant.add_argument("name", metavar="NAME")
    merchant.set_defaults(run=_create_merchant)
    key = commands.add_parser("create-key", help="add a key; its text is shown once")
    key.add_argument("merchant", metavar="MERCHANT", help="id, or a name that only one has")
    key.add_argument("--scopes", default=",".join(keys.DEFAULT_SCOPES))
    key.add_argument("--name", default="key")
    key.add_argument("--days", type=float, help="days until it expires")
    key.set_defaults(run=_create_key)
    revoke = commands.add_parser("revoke-key", help="end a key at once")
    revoke.add_argument("merchant", metavar="MERCHANT")
    revoke.add_argument("key", metavar="KEY", help="the key's id or its public prefix")
    revoke.set_defaults(run=_revoke_key)
    quota = commands.add_parser("set-quota", help="set what a merchant may use at most")
    quota.add_argument("merchant", metavar="MERCHANT")
    for name, words in _QUOTAS.items():
        option = f"--{name.replace('_', '-')}"
        quota.add_argument(option, type=_limit, default=_UNTOUCHED, metavar="N", help=words)
    quota.set_defaults(run=_set_quota)
    weight = commands.add_parser("set-weight", help="set a merchant's part of the devices")
    weight.add_argument("merchant", metavar="MERCHANT")
    weight.add_argument("weight", metavar="N", type=int, help="2 gets twice what 1 gets")
    weight.set_defaults(run=_set_weight)
    for command in (merchant, key, revoke, quota, weight):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _create_merchant(session: Session, given: argparse.Namespace) -> dict[str, object]:
    merchant = keys.create_merchant(session, given.name)
    key = keys.create_key(session, merchant.id)
    return {"merchant": merchant.id, "name": merchant.name, **_shown(key)}


def _create_key(session: Session, given: argparse.Namespace) -> dict[str, object]:
    merchant = keys.find_merchant(session, given.merchant)
    scopes = tuple(scope.strip() for scope in given.scopes.split(",") if scope.strip())
    lifetime = None if given.days is None else given.days * _DAY
    key = keys.create_key(session, merchant.id, scopes, name=given.name, lifetime=lifetime)
    return {"merchant": merchant.id, **_shown(key)}


def _shown(key: keys.NewKey) -> dict[str, object]:
    return {"id": key.id, "key": key.key, "scopes": list(key.scopes)}


def _revoke_key(session: Session, given: argparse.Namespace) -> dict[str, object]:
    merchant = keys.find_merchant(session, given.merchant)
    return {"merchant": merchant.id, "id": keys.revoke_key(session, merchant.id, given.key)}


def _limit(text: str) -> int | None:
    return None if text == "none" else int(text)


def _set_quota(session: Session, given: argparse.Namespace) -> dict[str, object]:
    """Change the quotas that are named, and show all of them."""
    merchant = keys.find_merchant(session, given.merchant)
    named = {name: getattr(given, name) for name in _QUOTAS}
    limits = {name: limit for name, limit in named.items() if limit is not _UNTOUCHED}
    quotas.set_limits(merchant, limits)
    session.flush()
    found = quotas.usage(session, merchant.id).quotas
    return {"merchant": merchant.id, **{one.name: one.limit for one in found}}


def _set_weight(session: Session, given: argparse.Namespace) -> dict[str, object]:
    merchant = keys.find_merchant(session, given.merchant)
    quotas.set_weight(merchant, given.weight)
    return {"merchant": merchant.id, "weight": merchant.weight}


def _lines(shown: dict[str, object]) -> str:
    return "\n".join(
        f"{name}: {', '.join(value) if isinstance(value, list) else value}"
        for name, value in shown.items()
    )


if __name__ == "__main__":
    sys.exit(main())
