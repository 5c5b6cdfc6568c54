"""The one way to refuse a request, whichever layer finds the fault; the API turns it into JSON.

May import regraft.contract only.
"""

from collections.abc import Mapping, Sequence

from regraft.contract.errors import RECORDS, ErrorCode, ErrorDetail


class RefusedError(Exception):
    """A request that cannot be done, with the code, the sentence and the field to show."""

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        param: str | None = None,
        *,
        details: Sequence[ErrorDetail] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.details = list(details)
        self.headers = dict(headers or {})

    @property
    def http_status(self) -> int:
        """The status that the contract gives to this code."""
        return RECORDS[self.code].http_status


class NotFoundError(RefusedError):
    """No such row, or a row of another tenant: the two are not told apart."""

    def __init__(self, subject: str, param: str | None = None) -> None:
        super().__init__(ErrorCode.NOT_FOUND, f"There is no such {subject}.", param)


class InvalidError(RefusedError):
    """One field that is wrong for a reason that a schema cannot say."""

    def __init__(self, param: str, message: str, code: str = "value_error") -> None:
        detail = ErrorDetail(param=param, code=code, message=message)
        super().__init__(ErrorCode.VALIDATION_FAILED, message, param, details=[detail])


class ConflictError(RefusedError):
    """The row's status does not allow what was asked."""

    def __init__(
        self, message: str, param: str | None = None, code: ErrorCode = ErrorCode.CONFLICT
    ) -> None:
        super().__init__(code, message, param)


class QuotaError(RefusedError):
    """One merchant's quota is used up; `retry_after` is in seconds."""

    def __init__(self, name: str, message: str, retry_after: int) -> None:
        detail = ErrorDetail(param=name, code=ErrorCode.QUOTA_EXCEEDED, message=message)
        headers = {"Retry-After": str(retry_after)}
        super().__init__(ErrorCode.QUOTA_EXCEEDED, message, details=[detail], headers=headers)
