"""How long a job whose process died waited until it ran again."""

from typing import NamedTuple

from benchmarks.chaos.availability import Availability
from benchmarks.chaos.journal import HINT_LOSING, Death, Journal
from benchmarks.chaos.oracle import Move
from core.settings import Timings
from regraft.contract.status import JobStatus


class Recovery(NamedTuple):
    """One death: seconds until the job ran again, and what the formula allows.

    `wall` counts from the death, and `queued` until the job was in the queue again. `first`
    counts from when SQL, Redis and a free worker for each waiting job were all there for the
    first time, though new jobs may have taken those workers; `able` from when they were all
    there and stayed.
    """

    job_id: str
    queued: float
    able: float
    first: float
    wall: float
    allowed: float


def recoveries(
    journal: Journal, found: dict[str, list[Move]], able: Availability, timings: Timings
) -> list[Recovery]:
    """Return the recovery of every death after which the job did run again."""
    measured = []
    for death in journal.deaths:
        moves = found.get(death.job_id, [])
        again = _running_again(moves, death)
        if again is not None:
            span = (death.device_class, death.at, again)
            measured.append(
                Recovery(
                    death.job_id,
                    queued=_queued_again(moves, death, again) - death.at,
                    able=again - able.able_since(*span),
                    first=again - able.first_able(*span),
                    wall=again - death.at,
                    allowed=_allowed(journal, timings, death.at, again),
                )
            )
    return measured


def _running_again(moves: list[Move], death: Death) -> float | None:
    """Return when the job ran again; None if it did not, or had to wait on purpose before."""
    for move in moves:
        if move.at >= death.at and (move.delayed or move.to == JobStatus.PAUSED):
            return None
        if move.to == JobStatus.RUNNING and move.fence > death.fence:
            return move.at
    return None


def _queued_again(moves: list[Move], death: Death, again: float) -> float:
    """Return when the job was last put into the queue before it ran again."""
    times = [
        move.at for move in moves if death.at <= move.at <= again and move.to == JobStatus.QUEUED
    ]
    return times[-1] if times else again


def _allowed(journal: Journal, timings: Timings, began: float, ended: float) -> float:
    """Lease, reaper, dispatch and a second; and a re-dispatch for each time a hint was lost."""
    base = timings.lease + timings.reaper_interval + timings.dispatch_interval + 1.0
    return base + timings.redispatch * journal.between(HINT_LOSING, began + 0.001, ended)


def percentile(values: list[float], percent: float) -> float | None:
    """Return the nearest-rank percentile, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
