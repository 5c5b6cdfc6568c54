"""What a merchant may ask of a job in each status: a move at once, a wish, or a refusal."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import update
from sqlalchemy.orm import Session

from core.refusals import ConflictError
from db.base import now
from db.lifecycle import events
from db.lifecycle.guard import changed, drop_checkpoints, drop_parts
from db.models import Job
from regraft.contract.status import TERMINAL, JobStatus, RequestedAction, shown

_TRIES = 3
_CANCEL, _PAUSE, _STOP = RequestedAction.CANCEL, RequestedAction.PAUSE, RequestedAction.STOP
_QUEUED, _RUNNING, _PAUSED = JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED


class Change(NamedTuple):
    """What to write: another status, or where that is None the wish."""

    to: JobStatus | None
    wish: RequestedAction | None
    message: str


_CHANGES: dict[tuple[JobStatus, RequestedAction | None], Change] = {
    (_QUEUED, _CANCEL): Change(JobStatus.CANCELLED, None, "Cancelled before it ran."),
    (_PAUSED, _CANCEL): Change(JobStatus.CANCELLED, None, "Cancelled while it was paused."),
    (_RUNNING, _CANCEL): Change(None, _CANCEL, "Asked to cancel."),
    (_QUEUED, _PAUSE): Change(_PAUSED, None, "Paused while it waited."),
    (_RUNNING, _PAUSE): Change(None, _PAUSE, "Asked to pause."),
    (_RUNNING, _STOP): Change(None, _STOP, "Asked to stop and keep the best model."),
    (_PAUSED, None): Change(_QUEUED, None, "Resumed: the job waits for a worker."),
}
_NEEDS = {
    _CANCEL: "cancelled before it has ended",
    _PAUSE: "paused while it is queued or running",
    _STOP: "stopped while it is running",
    None: "resumed while it is paused",
}


def steer(session: Session, find: Callable[[], Job], action: RequestedAction | None) -> None:
    """Follow a merchant's wish about the job that is found, or leave it for the worker.

    Asking twice is no error. Raises what `find` raises, or `ConflictError` for a job whose status
    does not allow it.
    """
    for _attempt in range(_TRIES):
        job = find()
        done = is_done(job, action) or apply(session, job, choose(job, action))
        session.expire_all()
        if done:
            return
    raise ConflictError("The job's status is changing: try again.")


def is_done(job: Job, action: RequestedAction | None) -> bool:
    """Tell whether the job is what is asked for, or was asked already."""
    if job.status == JobStatus.RUNNING:
        return action is not None and job.requested_action == action
    return action is _PAUSE and job.status == JobStatus.PAUSED


def choose(job: Job, action: RequestedAction | None) -> Change:
    """Return what to do; raises `ConflictError` where the job's status does not allow it."""
    status = JobStatus(job.status)
    wish = None if job.requested_action is None else RequestedAction(job.requested_action)
    change = _CHANGES.get((status, action))
    # A wish is not taken back for another, but for a cancel: the worker may be at it.
    if change is None or (status is _RUNNING and wish is not None and action is not _CANCEL):
        now_is = shown(status, wish)
        start = "The job has ended: it" if status in TERMINAL else "The job"
        raise ConflictError(f"{start} is {now_is}; a job can only be {_NEEDS[action]}.")
    return change


def apply(session: Session, job: Job, change: Change) -> bool:
    """Write the change, if the job is still as it was read; return whether it was."""
    values: dict[str, Any] = {"requested_action": change.wish}
    if change.to is not None:
        values["status"] = change.to
        values["dispatched_at"] = None
        values["run_after"] = now() if change.to is _QUEUED else Job.run_after
        values["finished_at"] = now() if change.to in TERMINAL else None
    same = (Job.id == job.id) & (Job.tenant_id == job.tenant_id) & (Job.status == job.status)
    same &= Job.requested_action.is_not_distinct_from(job.requested_action)
    if not changed(session, update(Job).where(same).values(values)):
        return False
    if change.to is JobStatus.CANCELLED:
        drop_checkpoints(session, job.id)
        drop_parts(session, job.id)
    moved = change.to is not None
    events.record(
        session,
        tenant_id=job.tenant_id,
        job_id=job.id,
        fence=job.fence,
        level="info",
        type="status" if moved else "message",
        message=change.message,
        data={"from": job.status, "to": change.to} if moved else {"requested_action": change.wish},
    )
    return True
