"""The end of an attempt in SQL: one transaction, repeated until its result is known."""

import time

from sqlalchemy.exc import SQLAlchemyError

from core.logs import logger
from db.failures import code_of
from db.lifecycle import guard, heartbeat
from db.lifecycle.guard import Whereabouts
from db.lifecycle.heartbeat import Report
from regraft.contract.errors import ErrorCode
from regraft.contract.status import JobStatus, RequestedAction
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.outcome import Move, Outcome

_PAUSE_SECONDS = 0.5
_log = logger(__name__)


def settle(attempt: Attempt, ended: Outcome) -> JobStatus | None:
    """Write how the attempt ended, together with everything it has not reported yet.

    Returns the status reached, or None where the job is somebody else's by now.
    """
    if ended.move is None:
        _log.warning("attempt abandoned", silent_for=attempt.heart.silent_for)
        return None
    try:
        reached = _write_until_known(attempt, attempt.heart.take_report(), ended.move)
    except Exception:  # noqa: BLE001 - whatever it was, the job must not stay running
        _log.exception("outcome cannot be written", outcome=ended.name)
        reached = _give_up(attempt)
    _log.info("attempt ended", outcome=ended.name, status=reached or "refused: stale fence")
    return reached


def _give_up(attempt: Attempt) -> JobStatus | None:
    """Fail a job whose outcome the database refuses, which another attempt would not change."""
    message = "The worker could not record what the job made."
    move = outcome.failed(attempt.claim, ErrorCode.INTERNAL, message).move
    return None if move is None else _write_until_known(attempt, Report(), move)


def _write_until_known(attempt: Attempt, report: Report, move: Move) -> JobStatus | None:
    """Return the status reached, or None where the job was somebody else's by then.

    A commit that failed may have been applied: the row is read again, and only a job that is
    still held is tried again, for as long as its lease can be ours.
    """
    while True:
        try:
            return _write(attempt, report, move)
        except SQLAlchemyError as error:
            if code_of(error) is None:
                raise
            _log.warning("outcome of a commit is unknown", error=str(error)[:500])
        found = _read_again(attempt)
        if found is None or found.fence != attempt.claim.fence:
            return None
        if found.status is not JobStatus.RUNNING:
            return found.status


def _write(attempt: Attempt, report: Report, move: Move) -> JobStatus | None:
    lease = attempt.station.settings.timings.lease
    with attempt.station.database.write() as session:
        beat = heartbeat.beat(session, attempt.claim, report, lease=lease)
        if beat is None:
            return None
        # A cancel that was answered before this commit must win: no beat may have heard of it.
        cancelled = outcome.cancelled(attempt.claim).move
        if beat.wish is RequestedAction.CANCEL and cancelled is not None:
            return cancelled(session)
        return move(session)


def _read_again(attempt: Attempt) -> Whereabouts | None:
    """Return where the job is, asking until the database answers or the lease has run out."""
    while attempt.heart.silent_for < attempt.station.settings.timings.lease:
        time.sleep(_PAUSE_SECONDS)
        try:
            with attempt.station.database.read() as session:
                return guard.whereabouts(session, attempt.claim.job_id)
        except SQLAlchemyError as error:
            _log.warning("job not read again", error=str(error)[:500])
    return None
