"""What an erasure deletes, a batch in each transaction, counted in its record as it goes.

Every step can be done twice: an attempt that was killed is gone on with by the next. A blob stays
while anything else of the tenant's consists of it, and is waited for while a job runs that may
have stored it and not said so yet (see `db.lifecycle.unreferenced`).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session

from db.base import now
from db.blobs import RENEWED_SECONDS
from db.lifecycle import answers, features, model_files
from db.lifecycle.guard import Held, changed, is_held, leave
from db.lifecycle.unreferenced import is_referred
from db.models import (
    Blob,
    BlobChunk,
    Dataset,
    Erasure,
    FeatureImage,
    FeaturePack,
    Image,
    Job,
    JobCheckpoint,
    JobResult,
)
from db.session import Database
from regraft.contract.job import DATASETS
from regraft.contract.status import TRAINER_KINDS, JobKind, JobStatus

_AT_ONCE = 50


class Step(NamedTuple):
    """What one step did: rows that are gone, and whether something must be waited for."""

    gone: int
    waits: bool


def erase_files(session: Session, held: Held, model_id: str, names: Sequence[str] | None) -> Step:
    """Take from a model the files that go, all of them without `names`; `erase_blobs` follows."""
    _take(session, held, [], model_files=model_files.strip(session, model_id, names))
    return Step(1, waits=False)


def erase_answers(session: Session, held: Held, model_ids: Sequence[str]) -> Step:
    """Delete what batches answered about the dataset, and what these models answered."""
    which = answers.of_dataset(held.dataset_id) | answers.of_model(*model_ids)
    dropped = answers.drop(session, held.tenant_id, which)
    _take(session, held, dropped.blobs, batch_files=dropped.files)
    return Step(0, waits=False)


def erase_images(session: Session, held: Held) -> Step:
    """Delete some of a dataset's images, rows and bytes."""
    mine = (Image.tenant_id == held.tenant_id) & (Image.dataset_id == held.dataset_id)
    busy = (Blob.scope == held.tenant_id) & Blob.sha256.in_((Image.sha256, Image.thumbnail_sha256))
    busy &= _maybe_stored(held, JobKind.INGEST)
    columns = (Image.id, Image.sha256, Image.thumbnail_sha256)
    free = select(*columns).where(mine, ~exists().where(busy)).limit(_AT_ONCE)
    rows = session.execute(free).all()
    changed(session, delete(Image).where(Image.id.in_([row.id for row in rows])))
    hashes = {sha256 for row in rows for sha256 in row[1:] if sha256 is not None}
    _take(session, held, hashes, images=len(rows))
    left = session.scalar(select(func.count()).where(mine)) or 0
    return Step(len(rows), waits=not rows and left > 0)


def erase_blobs(session: Session, held: Held, hashes: Sequence[str]) -> Step:
    """Delete blobs that deleted files consisted of, but for those that others consist of."""
    some = hashes[:_AT_ONCE]
    mine = (Blob.scope == held.tenant_id) & Blob.sha256.in_(some)
    busy = select(func.count()).where(mine, _maybe_stored(held, *TRAINER_KINDS, JobKind.INGEST))
    if session.scalar(busy):
        return Step(0, waits=True)
    _take(session, held, some)
    return Step(len(some), waits=False)


def erase_features(session: Session, held: Held) -> Step:
    """Delete stored features with an image that no dataset of the tenant's has any more."""
    mine = FeatureImage.tenant_id == held.tenant_id
    named = exists().where(
        Image.tenant_id == held.tenant_id, Image.sha256 == FeatureImage.image_sha256
    )
    dead = select(FeatureImage.pack_id).where(mine, ~named).distinct().limit(_AT_ONCE)
    packs = session.scalars(select(FeaturePack).where(FeaturePack.id.in_(dead))).all()
    features.drop(session, [pack.id for pack in packs])
    _take(session, held, {pack.sha256 for pack in packs}, feature_packs=len(packs))
    return Step(len(packs), waits=False)


def erase_container(session: Session, held: Held) -> Step:
    """Delete the file that a dataset was uploaded as."""
    sha256 = session.scalar(select(Dataset.source_sha256).where(Dataset.id == held.dataset_id))
    if not sha256:
        return Step(0, waits=False)
    mine = Dataset.id == held.dataset_id
    changed(session, update(Dataset).where(mine).values(source_sha256=""))
    _take(session, held, [sha256])
    return Step(1, waits=False)


def erase_checkpoints(session: Session, held: Held) -> Step:
    """Delete what trainings on the dataset stood at."""
    used = or_(*(Job.spec[field].as_string() == held.dataset_id for field in DATASETS))
    jobs = select(Job.id).where(Job.tenant_id == held.tenant_id, used)
    mine = JobCheckpoint.job_id.in_(jobs)
    hashes = set(session.scalars(select(JobCheckpoint.sha256).where(mine)))
    gone = changed(session, delete(JobCheckpoint).where(mine))
    _take(session, held, hashes, checkpoints=gone)
    return Step(gone, waits=False)


def succeed(session: Session, held: Held) -> bool:
    """End an erasure: its job, its record, and the dataset's row without what it said."""
    if not leave(session, held, JobStatus.SUCCEEDED, "Erased."):
        return False
    erasure = _record(session, held)
    erasure.finished_at = session.scalar(select(now()))
    emptied: dict[str, object] = {
        "status_reason": None,
        "deleted_at": erasure.finished_at,
        "classes": [],
        "warnings": [],
        "user_metadata": {},
        "changes": None,
        **dict.fromkeys(("num_images", "num_rejected", "num_unlabelled"), 0),
    }
    dataset = session.get_one(Dataset, held.dataset_id)
    for name, value in emptied.items():
        setattr(dataset, name, value)
    seconds = session.scalar(select(Job.seconds_run).where(Job.id == held.job_id))
    session.add(
        JobResult(
            job_id=held.job_id,
            tenant_id=held.tenant_id,
            fence=held.fence,
            usage={"device_seconds": seconds, "num_images": erasure.deleted.get("images", 0)},
        )
    )
    session.flush()
    return True


def newest(session: Session) -> float:
    """Return when an erasure ended last, 0 if none has: what hosts compare to tidy their caches."""
    return session.scalar(select(func.max(Erasure.finished_at))) or 0.0


def scrub(database: Database) -> None:
    """On SQLite, empty the write-ahead log, which still holds what was deleted."""
    if database.is_sqlite:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def is_mine(session: Session, held: Held) -> bool:
    """Tell whether the erasure's job is still this attempt's.

    Until this transaction ends nobody can call the erasure off, who would not see what it deletes.
    """
    session.execute(select(Erasure.id).where(_of(held)).with_for_update())
    return session.scalar(select(Job.id).where(is_held(held))) is not None


def _take(session: Session, held: Held, hashes: Iterable[str], **counts: int) -> None:
    """Delete the unreferred among these blobs, and count what is gone."""
    mine = (Blob.scope == held.tenant_id) & Blob.sha256.in_(list(hashes))
    taken = session.execute(
        delete(Blob).where(mine, ~is_referred()).returning(Blob.sha256, Blob.size),
        execution_options={"synchronize_session": False},
    ).all()
    gone = [row.sha256 for row in taken]
    chunks = (BlobChunk.scope == held.tenant_id) & BlobChunk.sha256.in_(gone)
    changed(session, delete(BlobChunk).where(chunks))
    added = {**counts, "blobs": len(gone), "bytes": sum(row.size for row in taken)}
    erasure = _record(session, held)
    before = erasure.deleted
    erasure.deleted = {**before, **{name: before.get(name, 0) + n for name, n in added.items()}}
    session.flush()


def _record(session: Session, held: Held) -> Erasure:
    return session.scalars(select(Erasure).where(_of(held))).one()


def _of(held: Held) -> ColumnElement[bool]:
    return (Erasure.dataset_id == held.dataset_id) & Erasure.cancelled_at.is_(None)


def _maybe_stored(held: Held, *kinds: JobKind) -> ColumnElement[bool]:
    """Tell of a blob whether a running job of these kinds may have stored it without a row yet."""
    return exists().where(
        Job.tenant_id == held.tenant_id,
        Job.status == JobStatus.RUNNING,
        Job.kind.in_(kinds),
        Job.claimed_at - RENEWED_SECONDS < Blob.created_at,
    )
