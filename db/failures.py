"""What a failed statement means for a caller, so that no layer above knows the drivers' errors."""

from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004
)

from regraft.contract.errors import ErrorCode

_FULL_SQLSTATES = frozenset({"53100", "53200"})
_OLD_SQLSTATES = frozenset({"42P01", "42703"})
_OLD_SQLITE = ("no such table", "no such column")
_FULL_SQLITE = "database or disk is full"


def code_of(error: Exception) -> ErrorCode | None:
    """Return `unavailable` or `storage_full` for a database that cannot, None for other faults."""
    if isinstance(error, TimeoutError):
        return ErrorCode.UNAVAILABLE
    if not isinstance(error, DBAPIError):
        return None
    if getattr(error.orig, "sqlstate", None) in _FULL_SQLSTATES or _FULL_SQLITE in str(error.orig):
        return ErrorCode.STORAGE_FULL
    if error.connection_invalidated or isinstance(error, InterfaceError | OperationalError):
        return ErrorCode.UNAVAILABLE
    return None


def in_one_line(error: SQLAlchemyError) -> str:
    """Return what an operator at a shell needs to know of a failed statement or connection."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = " ".join(str(cause).split())
    old = getattr(cause, "sqlstate", None) in _OLD_SQLSTATES
    if old or any(words in reason for words in _OLD_SQLITE):
        return f"the database has no tables, or old ones: run `python -m db.migrate` ({reason})"
    return f"the database of REGRAFT_DATABASE_URL cannot be used: {reason}"
