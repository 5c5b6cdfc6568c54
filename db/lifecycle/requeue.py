"""How a running job goes back to the queue: released, paused, retried or lost; or ends instead.

A wish to cancel turns each of these into `cancelled`, one to pause into `paused`; limits turn
them into `failed`.
"""

from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import finish
from db.lifecycle.guard import Held, is_held, leave
from db.models import Job
from regraft.contract.errors import ErrorCode, JobError
from regraft.contract.status import EventLevel, JobStatus, RequestedAction

_BACKOFF_SECONDS = 2.0
_DEFAULT_MINUTES = 60
_PAUSED = "Paused."


class _State(NamedTuple):
    requested_action: str | None
    lost_count: int
    retry_count: int
    spec: dict[str, object]
    claimed_at: float
    lease_until: float
    seconds: float


def release(session: Session, held: Held) -> JobStatus | None:
    """Give a job back because its worker is stopping; nothing is counted against it."""
    row = _lock(session, held)
    if row is None:
        return None
    message = "The worker is shutting down; the job waits for another."
    return _end_early(session, held, row) or _requeue(session, held, row, message, level="info")


def pause(session: Session, held: Held) -> JobStatus | None:
    """Let go of a job because its user wished so; it holds no lease until it is resumed."""
    row = _lock(session, held)
    if row is None:
        return None
    ended = _end_early(session, held, row)
    if ended is not None:
        return ended
    leave(session, held, JobStatus.PAUSED, _PAUSED, status_reason=None)
    return JobStatus.PAUSED


def retry(session: Session, held: Held, message: str, *, max_retries: int) -> JobStatus | None:
    """Give a job back after a transient fault, to be tried again later and later."""
    row = _lock(session, held)
    if row is None:
        return None
    ended = _end_early(session, held, row)
    if ended is not None:
        return ended
    if row.retry_count >= max_retries:
        error = JobError.of(ErrorCode.INTERNAL, f"{message} Tried {row.retry_count + 1} times.")
        return _fail(session, held, error)
    return _requeue(
        session,
        held,
        row,
        f"{message} The job is tried again.",
        retry_count=row.retry_count + 1,
        run_after=now() + _BACKOFF_SECONDS * 4**row.retry_count,
    )


def lose(
    session: Session, held: Held, error: JobError, *, max_losses: int, expired: bool = False
) -> JobStatus | None:
    """Give a job back after its worker or trainer died; the last of `max_losses` fails it.

    Only a job whose lease has run out is touched when `expired` is set. `error` is what the
    job fails with in the end.
    """
    row = _lock(session, held, expired=expired)
    if row is None:
        return None
    # A dead worker is not paid for the time after its lease.
    spent: dict[str, Any] = (
        {"seconds_run": Job.seconds_run + row.lease_until - row.claimed_at} if expired else {}
    )
    ended = _end_early(session, held, row, **spent)
    if ended is not None:
        return ended
    losses = row.lost_count + 1
    if losses >= max_losses:
        return _fail(session, held, error, lost_count=losses, **spent)
    message = f"{error.message} The job waits for a worker again."
    return _requeue(session, held, row, message, lost_count=losses, **spent)


def _lock(session: Session, held: Held, *, expired: bool = False) -> _State | None:
    """Return what decides where a held job goes, locked until this transaction ends."""
    query = select(
        Job.requested_action,
        Job.lost_count,
        Job.retry_count,
        Job.spec,
        Job.claimed_at,
        Job.lease_until,
        (Job.seconds_run + now() - Job.claimed_at).label("seconds"),
    ).where(is_held(held))
    if expired:
        query = query.where(Job.lease_until < now())
    row = session.execute(query.with_for_update()).one_or_none()
    return None if row is None else _State._make(row)


def _end_early(session: Session, held: Held, row: _State, **values: Any) -> JobStatus | None:
    """End a job that must not run again, whatever else happened to it."""
    if row.requested_action == RequestedAction.CANCEL:
        leave(session, held, JobStatus.CANCELLED, "Cancelled.", **values)
        return JobStatus.CANCELLED
    if row.seconds >= seconds_allowed(row.spec):
        return _fail(session, held, deadline_error(row.spec), **values)
    return None


def seconds_allowed(spec: dict[str, object]) -> float:
    """Return how long a job with this spec may run, over all attempts."""
    limits = spec.get("limits")
    minutes = limits.get("max_minutes") if isinstance(limits, dict) else None
    return 60.0 * (minutes if isinstance(minutes, int) else _DEFAULT_MINUTES)


def deadline_error(spec: dict[str, object]) -> JobError:
    """Return the error of a job that ran for all the time it may."""
    minutes = seconds_allowed(spec) / 60
    message = f"The job ran for {minutes:g} minutes, all that it may."
    return JobError.of(ErrorCode.DEADLINE_EXCEEDED, message, "limits.max_minutes")


def _fail(session: Session, held: Held, error: JobError, **values: Any) -> JobStatus:
    finish.fail(session, held, error, **values)
    return JobStatus.FAILED


def _requeue(
    session: Session,
    held: Held,
    row: _State,
    message: str,
    *,
    level: EventLevel = "warn",
    **values: Any,
) -> JobStatus:
    """Queue the job again, or pause it where that is wished; a wish to stop stays for later."""
    to = JobStatus.PAUSED if row.requested_action == RequestedAction.PAUSE else JobStatus.QUEUED
    wish = RequestedAction.STOP if row.requested_action == RequestedAction.STOP else None
    told = f"{_PAUSED} {message}" if to is JobStatus.PAUSED else message
    fixed = {"status_reason": told, "progress": None, "requested_action": wish}
    leave(session, held, to, told, level=level, **{**fixed, **values})
    return to
