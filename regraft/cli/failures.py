"""From an exception to one clear sentence, or the JSON envelope, and the exit code.

May import typer, rich, the client and the contract.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import typer
from rich.text import Text

from regraft.cli.session import err, print_json
from regraft.client import (
    ApiError,
    ChecksumMismatch,
    ConnectionFailed,
    DatasetInvalid,
    InvalidInput,
    JobFailed,
    RegraftError,
    UnexpectedAnswer,
    WaitTimeout,
)
from regraft.contract.errors import ErrorBody
from regraft.contract.validation import printable

REFUSED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
_LONGEST = 2000


class Interrupted(RegraftError):  # noqa: N818 -- it says what happened
    """The user stopped watching; what was watched goes on."""


class _Kind(NamedTuple):
    classes: tuple[type[Exception], ...]
    exit_code: int
    type: str
    code: str
    remedy: str | None = None


_KINDS = (
    _Kind((DatasetInvalid,), REFUSED, "dataset_invalid", "dataset_invalid"),
    _Kind((InvalidInput,), USAGE, "invalid_request", "invalid_input"),
    _Kind((Interrupted,), INTERRUPTED, "interrupted", "interrupted"),
    _Kind(
        (ConnectionFailed, UnexpectedAnswer),
        UNREACHABLE,
        "connection_error",
        "unreachable",
        "Check REGRAFT_URL, and that the service is running.",
    ),
    _Kind((ChecksumMismatch,), REFUSED, "client_error", "checksum_mismatch"),
    _Kind((WaitTimeout,), REFUSED, "client_error", "wait_timeout"),
    _Kind((OSError,), REFUSED, "client_error", "local_file"),
)


@contextmanager
def left_running(again: str) -> Iterator[None]:
    """Say how to look again where a watch ends before what it watches.

    Raises:
        Interrupted: the user stopped watching.
        ConnectionFailed: the service went away; the sentence says both.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(again) from None
    except ConnectionFailed as error:
        raise ConnectionFailed(f"{error}; {again}") from error


def report(error: Exception, *, as_json: bool) -> int:
    """Print what went wrong and return the exit code; never a traceback."""
    if isinstance(error, typer.Abort):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return REFUSED
    if isinstance(error, typer.TyperException) and not as_json:
        getattr(error, "show", lambda: None)()
        return error.exit_code
    code, body = _explained(error)
    if as_json:
        print_json({"error": body, **_subject(error)})
    else:
        err().print(_sentence(error, body), soft_wrap=True)
    return code


def _explained(error: Exception) -> tuple[int, ErrorBody]:
    """Return the exit code and the envelope's body."""
    if isinstance(error, ApiError):
        return REFUSED, error.body
    if isinstance(error, JobFailed):
        return REFUSED, _of_job(error)
    if isinstance(error, typer.TyperException):
        message = error.format_message()
        return error.exit_code, ErrorBody(type="invalid_request", code="usage", message=message)
    for kind in _KINDS:
        if isinstance(error, kind.classes):
            return kind.exit_code, ErrorBody(
                type=kind.type, code=kind.code, message=str(error), remedy=kind.remedy
            )
    return REFUSED, ErrorBody(
        type="client_error",
        code="internal",
        message=f"unexpected {type(error).__name__}: {error}",
        remedy="Report this as a bug in regraft.",
    )


def _of_job(error: JobFailed) -> ErrorBody:
    why = error.job.error
    return ErrorBody(
        type="job_failed",
        code=why.code if why else error.job.status.value,
        message=str(error),
        param=why.param if why else None,
        remedy=why.remedy if why else None,
    )


def _subject(error: Exception) -> dict[str, object]:
    """Return the job or the dataset that the error is about, for programs to read."""
    if isinstance(error, JobFailed):
        return {error.job.object: error.job}
    if isinstance(error, DatasetInvalid):
        return {"dataset": error.dataset}
    return {}


def _sentence(error: Exception, body: ErrorBody) -> Text:
    first = "Stopped watching" if isinstance(error, Interrupted) else "Error"
    text = Text.assemble((f"{first}: ", "bold red"), printable(body.message, _LONGEST))
    for label, value in _lines(body):
        text.append(f"\n  {label:<10}  ", "bold")
        text.append(printable(value, _LONGEST))
    return text


def _lines(body: ErrorBody) -> Iterator[tuple[str, str]]:
    """Yield each field at fault, what to do, and what an administrator finds it by."""
    for detail in body.details:
        said = f"{detail.param or 'the body'}: {detail.message}"
        if said != body.message:
            yield "field", said
    if body.param and not body.details:
        yield "field", body.param
    if body.remedy:
        yield "what to do", body.remedy
    if body.request_id:
        yield "request id", body.request_id
