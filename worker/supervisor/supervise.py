"""The story of one job in one worker, from the hint to the last commit."""

import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from core.blobs import BlobCorruptError, BlobNotFoundError
from core.logs import logger
from db.lifecycle import slots
from db.lifecycle.claim import Claim, claim
from regraft.contract.errors import ErrorCode
from regraft.contract.status import TRAINER_KINDS, JobKind
from worker.ingest.run import ingest
from worker.station import Station
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.batch import answer
from worker.supervisor.erase import erase
from worker.supervisor.evaluation import evaluate
from worker.supervisor.heart import Heart
from worker.supervisor.outcome import InterruptedRunError, Outcome
from worker.supervisor.settle import settle
from worker.supervisor.train import train

_RUNS: dict[JobKind, Callable[[Attempt], Outcome]] = {
    JobKind.TRAIN: train,
    JobKind.INGEST: ingest,
    JobKind.ERASE: erase,
    JobKind.BATCH: answer,
    JobKind.EVALUATE: evaluate,
}
_log = logger(__name__)


def supervise(station: Station, job_id: str) -> None:
    """Run a job if it is there to be taken; never raises, so that the worker lives on."""
    began = time.monotonic()
    try:
        taken = _take(station, job_id)
        if taken is None:
            _log.info("hint dropped", job=job_id)
            return
        with bound_contextvars(job=job_id, fence=taken.fence, attempt=taken.attempt):
            _attempt(station, taken, began)
    except Exception:  # noqa: BLE001 - the lease runs out and the reaper takes the job
        _log.exception("supervisor failed", job=job_id)


def _take(station: Station, job_id: str) -> Claim | None:
    with station.database.write() as session:
        return claim(
            session,
            job_id,
            slot_id=station.slot_id,
            device_class=station.settings.device_class,
            lease=station.settings.timings.lease,
        )


def _attempt(station: Station, taken: Claim, began: float) -> None:
    heart = Heart(station.database, taken, station.settings.timings, began)
    run = f"{taken.job_id}.{taken.fence}"
    attempt = Attempt(station, taken, heart, station.places.folder(run), began)
    _log.info("attempt began", kind=taken.kind)
    with heart:
        ended = _run(attempt, run)
    if settle(attempt, ended) is None:
        _free(station)
    if taken.kind in TRAINER_KINDS and not station.drain.is_set():
        station.trainer.refresh()
        station.places.note_growth()


def _run(attempt: Attempt, run: str) -> Outcome:
    try:
        with attempt.holds, attempt.station.places.workspace(run):
            attempt.check()
            return _RUNS[attempt.claim.kind](attempt)
    except InterruptedRunError as interrupted:
        return interrupted.outcome
    except (BlobNotFoundError, BlobCorruptError) as error:
        _log.exception("stored bytes are missing or damaged")
        message = f"Stored bytes are missing or damaged: {error}."
        return outcome.failed(attempt.claim, ErrorCode.ARTIFACT_CORRUPT, message)
    except (SQLAlchemyError, OSError) as error:
        _log.exception("attempt met a transient fault")
        message = f"The worker met a fault of its surroundings ({type(error).__name__})."
        return outcome.retried(attempt.claim, attempt.station.settings, message)
    except Exception as error:  # noqa: BLE001 - one job's fault must not stop the worker
        _log.exception("attempt met an unexpected fault")
        message = f"The worker met an unexpected {type(error).__name__}."
        return outcome.failed(attempt.claim, ErrorCode.INTERNAL, message)


def _free(station: Station) -> None:
    """A lost lease leaves the slot marked as busy: no move of ours has freed it."""
    with station.database.write() as session:
        slots.free(session, station.slot_id)
