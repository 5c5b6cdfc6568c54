"""What every repository shares: one row or `NotFoundError`, and pages with opaque cursors.

The queries that come in are already scoped to a tenant.
"""

import base64
import binascii
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from core.refusals import InvalidError, NotFoundError
from regraft.contract.ids import Prefix, is_id

Item = TypeVar("Item")
MAX_SEQUENCE = 2**63 - 1


class Window(NamedTuple):
    """Which page is wanted: at most `limit` rows after `cursor`."""

    limit: int
    cursor: str | None


class Slice(NamedTuple, Generic[Item]):
    """One page of rows; `next_cursor` is None on the last one."""

    rows: list[Item]
    next_cursor: str | None


def get(session: Session, query: Select[Item], subject: str, *, param: str | None = None) -> Item:
    """Return the one row of a scoped query; raises `NotFoundError` for every other id alike."""
    row = session.scalar(query)
    if row is None:
        raise NotFoundError(subject, param)
    return row


def newest_first(
    session: Session,
    query: Select[Item],
    column: InstrumentedAttribute[str],
    prefix: Prefix,
    window: Window,
) -> Slice[Item]:
    """Return a page in the order of creation, the newest row first; stable while rows arrive."""
    if window.cursor is not None:
        last = _decoded(window.cursor)
        if not is_id(last, prefix):
            raise _forged()
        query = query.where(column < last)
    return _page(session, query.order_by(column.desc()), column.key, window.limit)


def oldest_first(
    session: Session, query: Select[Item], column: InstrumentedAttribute[int], window: Window
) -> Slice[Item]:
    """Return a page in the order of a sequence number, the lowest first."""
    if window.cursor is not None:
        last = _decoded(window.cursor)
        if not (last.isascii() and last.isdecimal() and len(last) <= len(str(MAX_SEQUENCE))):
            raise _forged()
        if int(last) > MAX_SEQUENCE:
            raise _forged()
        query = query.where(column > int(last))
    return _page(session, query.order_by(column), column.key, window.limit)


def by_name(
    session: Session, query: Select[Item], column: InstrumentedAttribute[str], window: Window
) -> Slice[Item]:
    """Return a page in alphabetical order of a name that is unique within the query."""
    if window.cursor is not None:
        query = query.where(column > _decoded(window.cursor))
    return _page(session, query.order_by(column), column.key, window.limit)


def _page(session: Session, query: Select[Item], key: str, limit: int) -> Slice[Item]:
    rows = list(session.scalars(query.limit(limit + 1)))
    if len(rows) <= limit:
        return Slice(rows, None)
    return Slice(rows[:limit], _encoded(str(getattr(rows[limit - 1], key))))


def _encoded(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        text = data.decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise _forged() from error
    if not text.isprintable():
        raise _forged()
    return text


def _forged() -> InvalidError:
    return InvalidError("cursor", "must be the `next_cursor` of an earlier page")
