"""Whether work is kept: each attempt goes on from the newest checkpoint of those before it."""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from benchmarks.chaos.journal import Journal
from benchmarks.chaos.oracle import Move
from db.models import JobEvent
from regraft.contract.status import JobStatus

_RESUMED = "Going on from the checkpoint"


class Mark(NamedTuple):
    """A checkpoint that was stored, or (`resumed`) one that an attempt went on from."""

    resumed: bool
    step: int
    fence: int
    at: float


def marks(session: Session) -> dict[str, list[Mark]]:
    """Return each job's checkpoints and resumptions in their order."""
    query = select(
        JobEvent.job_id, JobEvent.type, JobEvent.data, JobEvent.fence, JobEvent.created_at
    ).where(or_(JobEvent.type == "checkpoint", JobEvent.message.startswith(_RESUMED)))
    found: dict[str, list[Mark]] = defaultdict(list)
    for row in session.execute(query.order_by(JobEvent.seq)):
        resumed = row.type != "checkpoint"
        mark = Mark(resumed, int(row.data["step"]), row.fence, row.created_at)
        found[row.job_id].append(mark)
    return found


def work_goes_on(found: dict[str, list[Move]], marked: dict[str, list[Mark]]) -> Iterator[str]:
    """I9: whoever ran after a checkpoint was stored went on from the newest.

    An attempt that died may not have said yet what it went on from: those count that stored a
    checkpoint of their own, or succeeded.
    """
    for job_id, here in marked.items():
        stored = [mark for mark in here if not mark.resumed]
        told = {mark.fence for mark in stored}
        told |= {move.fence for move in found[job_id] if move.to == JobStatus.SUCCEEDED}
        from_step = {mark.fence: mark.step for mark in here if mark.resumed}
        for fence in told:
            before = [mark.step for mark in stored if mark.fence < fence]
            if before and from_step.get(fence) != before[-1]:
                yield (
                    f"I9 {job_id} had a checkpoint at step {before[-1]}, and attempt {fence} "
                    f"went on from {from_step.get(fence, 'the beginning')}"
                )


def repeated(
    journal: Journal, found: dict[str, list[Move]], marked: dict[str, list[Mark]]
) -> list[float]:
    """Return, for each death, the seconds since the last checkpoint, or since its attempt began."""
    lost = []
    for death in journal.deaths:
        began = [
            move.at
            for move in found.get(death.job_id, [])
            if move.to == JobStatus.RUNNING and move.fence == death.fence
        ]
        stored = [
            mark.at
            for mark in marked.get(death.job_id, [])
            if not mark.resumed and mark.fence == death.fence and mark.at <= death.at
        ]
        if began:
            lost.append(max(0.0, death.at - max([*began, *stored])))
    return lost
