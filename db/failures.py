"""What a failed statement means for a caller, so that no layer above knows the drivers' errors."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError  # noqa: A004

from regraft.contract.errors import ErrorCode

_FULL_SQLSTATES = frozenset({"53100", "53200"})
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
