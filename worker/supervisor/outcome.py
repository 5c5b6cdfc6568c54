"""How an attempt ended: what to write about it, if anything. Nothing is written here."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from core.settings import Settings
from db.lifecycle import erasing, finish, requeue
from db.lifecycle.claim import Claim
from db.lifecycle.finish import Answered, Ingested, Trained
from regraft.contract.errors import ErrorCode, JobError
from regraft.contract.status import JobStatus

Move = Callable[[Session], JobStatus | None]


@dataclass(frozen=True)
class Outcome:
    """`name` is for the log; `move` returns the status reached, or None if the fence is stale.

    Without a move nothing is written: the job belongs to somebody else by now.
    """

    name: str
    move: Move | None


class InterruptedRunError(Exception):
    """The attempt must end now, whatever it is doing; `outcome` says how."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


ABANDONED = Outcome("abandoned", None)


def trained(claim: Claim, result: Trained) -> Outcome:
    """The training succeeded."""

    def move(session: Session) -> JobStatus | None:
        done = finish.succeed_training(session, claim, result)
        return JobStatus.SUCCEEDED if done else None

    return Outcome("trained", move)


def ingested(claim: Claim, result: Ingested) -> Outcome:
    """The upload was checked; its dataset may be invalid all the same."""

    def move(session: Session) -> JobStatus | None:
        return JobStatus.SUCCEEDED if finish.succeed_ingest(session, claim, result) else None

    return Outcome("ingested", move)


def answered(claim: Claim, result: Answered) -> Outcome:
    """The batch has answered about every image."""

    def move(session: Session) -> JobStatus | None:
        return JobStatus.SUCCEEDED if finish.succeed_batch(session, claim, result) else None

    return Outcome("answered", move)


def evaluated(claim: Claim, metrics: dict[str, object], num_images: int) -> Outcome:
    """The model was measured."""

    def move(session: Session) -> JobStatus | None:
        done = finish.succeed_evaluation(session, claim, metrics, num_images)
        return JobStatus.SUCCEEDED if done else None

    return Outcome("evaluated", move)


def erased(claim: Claim) -> Outcome:
    """A dataset is gone, and this host keeps nothing of it."""

    def move(session: Session) -> JobStatus | None:
        return JobStatus.SUCCEEDED if erasing.succeed(session, claim) else None

    return Outcome("erased", move)


def failed(claim: Claim, code: ErrorCode, message: str, param: str | None = None) -> Outcome:
    """The job failed for good."""
    return failed_with(claim, JobError.of(code, message, param))


def failed_with(claim: Claim, error: JobError) -> Outcome:
    """The job failed for good, with this error."""

    def move(session: Session) -> JobStatus | None:
        return JobStatus.FAILED if finish.fail(session, claim, error) else None

    return Outcome("failed", move)


def cancelled(claim: Claim) -> Outcome:
    """The user's wish was followed."""

    def move(session: Session) -> JobStatus | None:
        return JobStatus.CANCELLED if finish.cancel(session, claim) else None

    return Outcome("cancelled", move)


def released(claim: Claim) -> Outcome:
    """This worker is shutting down."""
    return Outcome("released", lambda session: requeue.release(session, claim))


def paused(claim: Claim) -> Outcome:
    """The user's wish was followed; the job goes on from its last checkpoint."""
    return Outcome("paused", lambda session: requeue.pause(session, claim))


def retried(claim: Claim, settings: Settings, message: str) -> Outcome:
    """Something outside the job failed, for now."""

    def move(session: Session) -> JobStatus | None:
        return requeue.retry(session, claim, message, max_retries=settings.max_retries)

    return Outcome("retried", move)


def lost(claim: Claim, settings: Settings, code: ErrorCode, message: str) -> Outcome:
    """The process that did the work died or hung."""
    error = JobError.of(code, message)

    def move(session: Session) -> JobStatus | None:
        return requeue.lose(session, claim, error, max_losses=settings.max_losses)

    return Outcome("lost", move)
