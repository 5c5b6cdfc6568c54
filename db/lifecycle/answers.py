"""What a batch has answered so far: parts that no later attempt makes again.

Parts of a batch that ends without success are dropped (`guard.leave`); the sweep takes their
bytes, as those of parts that a deleted dataset or model leaves.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, insert, select, update
from sqlalchemy.orm import Session

from db.lifecycle.guard import Held, changed, is_held
from db.models import BatchFile, BatchPart, Job
from regraft.contract.status import TERMINAL, JobKind


class NewPart(NamedTuple):
    """A part whose blob is stored already: hash and size in bytes, rows, and those in error."""

    seq: int
    sha256: str
    size: int
    num_rows: int
    num_errors: int


class Dropped(NamedTuple):
    """The hashes of the tenant's blobs that answers consisted of, and how many files went."""

    blobs: list[str]
    files: int


def keep(session: Session, held: Held, new: NewPart) -> bool:
    """Keep a part; False, having written nothing, where the fence is stale.

    A job that gets on is no poison: its losses are forgotten.
    """
    if changed(session, update(Job).where(is_held(held)).values(lost_count=0)) == 0:
        return False
    same = (BatchPart.job_id == held.job_id) & (BatchPart.seq == new.seq)
    changed(session, delete(BatchPart).where(same))
    values = {"job_id": held.job_id, "tenant_id": held.tenant_id, **new._asdict()}
    session.execute(insert(BatchPart).values(**values))
    return True


def parts(session: Session, job_id: str) -> list[BatchPart]:
    """Return the parts of a batch in their order."""
    query = select(BatchPart).where(BatchPart.job_id == job_id).order_by(BatchPart.seq)
    return list(session.scalars(query))


def num_whole(session: Session, job_id: str) -> int:
    """Return how many parts there are before the first that is missing."""
    found = {part.seq for part in parts(session, job_id)}
    return next(seq for seq in range(len(found) + 1) if seq not in found)


def of_dataset(dataset_id: str) -> ColumnElement[bool]:
    """Tell of a batch's job whether it asks about this dataset."""
    return Job.dataset_id == dataset_id


def of_model(*model_ids: str) -> ColumnElement[bool]:
    """Tell of a batch's job whether it asks one of these models."""
    asks: ColumnElement[bool] = Job.spec["model"].as_string().in_(model_ids)
    return asks


def unended(session: Session, tenant_id: str, which: ColumnElement[bool]) -> list[str]:
    """Return the ids of the batches among these jobs that have not ended."""
    mine = (Job.tenant_id == tenant_id) & (Job.kind == JobKind.BATCH) & which
    query = select(Job.id).where(mine, Job.status.not_in(TERMINAL))
    return sorted(session.scalars(query))


def drop(session: Session, tenant_id: str, which: ColumnElement[bool]) -> Dropped:
    """Delete what the batches of these jobs answered."""
    jobs = select(Job.id).where(Job.tenant_id == tenant_id, Job.kind == JobKind.BATCH, which)
    mine = BatchPart.job_id.in_(jobs)
    blobs = list(session.scalars(select(BatchPart.sha256).where(mine).distinct()))
    changed(session, delete(BatchPart).where(mine))
    return Dropped(blobs, changed(session, delete(BatchFile).where(BatchFile.job_id.in_(jobs))))
