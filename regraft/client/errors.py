"""What can go wrong between a program and the service; may import the contract alone.

RegraftError ─┬─ InvalidInput (nothing was sent) · ApiError ── one child for each meaning
              └─ ConnectionFailed · UnexpectedAnswer · ChecksumMismatch · WaitTimeout · …
"""
# ruff: noqa: N818 -- public names that say what happened; `except JobFailed` reads as a sentence

from regraft.contract.batch import Batch
from regraft.contract.errors import ErrorBody, ErrorDetail
from regraft.contract.resources import Dataset, Job


class RegraftError(Exception):
    """Base of every error this package raises; its text is one sentence for a person."""


class InvalidInput(RegraftError):
    """What was asked for cannot be sent: a bad address, key, folder, file or value."""


class ConnectionFailed(RegraftError):
    """The service could not be reached, or went away, and trying again did not help."""


class UnexpectedAnswer(RegraftError):
    """Something answered that is not this contract: a wrong address, or a much newer service."""


class WaitTimeout(RegraftError):
    """The wait was over before the dataset or the job was; it goes on at the service."""


class ChecksumMismatch(RegraftError):
    """A downloaded file is not the one the manifest names; it was thrown away."""


class SignatureInvalid(RegraftError):
    """A webhook that did not come from the service, or not now: answer it with 400."""


class DatasetInvalid(RegraftError):
    """The service could not make a usable dataset of an upload; `dataset` says why."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(f"dataset {dataset.id} is invalid: {dataset.status_reason or 'no reason'}")
        self.dataset = dataset


class JobFailed(RegraftError):
    """A job or a batch that was waited for failed or was cancelled; `job` holds its error."""

    def __init__(self, job: Job | Batch) -> None:
        reason = job.error.message if job.error else job.status_reason
        super().__init__(
            f"{job.object} {job.id} {job.status.value}" + (f": {reason}" if reason else "")
        )
        self.job = job


class ApiError(RegraftError):
    """The service's answer to a request that it did not carry out.

    `status` is HTTP's; `param` is the path of the field at fault; `retry_after` is in seconds.
    """

    def __init__(self, status: int, body: ErrorBody, retry_after: float | None = None) -> None:
        super().__init__(body.message)
        self.status = status
        self.body = body
        self.retry_after = retry_after

    @property
    def code(self) -> str:
        """The error's code, one of `regraft.contract.errors.ErrorCode` or a newer one."""
        return self.body.code

    @property
    def message(self) -> str:
        """What is wrong, in one sentence."""
        return self.body.message

    @property
    def param(self) -> str | None:
        """The path of the field at fault, as in the body that was sent."""
        return self.body.param

    @property
    def remedy(self) -> str | None:
        """What to do about it."""
        return self.body.remedy

    @property
    def request_id(self) -> str | None:
        """What an administrator finds the request by."""
        return self.body.request_id

    @property
    def details(self) -> list[ErrorDetail]:
        """One entry for each field at fault."""
        return self.body.details


class AuthenticationError(ApiError):
    """The key is missing or no longer valid (401), or may not do this (403)."""


class NotFoundError(ApiError):
    """There is no such thing, or it belongs to another merchant (404)."""


class ConflictError(ApiError):
    """The resource's status does not allow this (409)."""


class ValidationFailed(ApiError):
    """The request cannot be carried out as it is written (any other 4xx)."""


class RateLimited(ApiError):
    """Too many requests, or a quota is used up (429)."""


class Unavailable(ApiError):
    """The service cannot answer now (5xx)."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimited,
}


def api_error(status: int, body: ErrorBody, retry_after: float | None = None) -> ApiError:
    """Return the error of the class that stands for `status`."""
    other = Unavailable if status >= 500 else ValidationFailed  # noqa: PLR2004 -- 5xx
    return _BY_STATUS.get(status, other)(status, body, retry_after)
