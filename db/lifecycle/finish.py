"""How a running job ends: with a result, with an error, or because its user wished so.

Each move belongs to one transaction, and writes nothing at all when the fence is stale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from db.lifecycle import outbox
from db.lifecycle.claim import Claim
from db.lifecycle.guard import Held, leave
from db.models import (
    BatchFile,
    Dataset,
    FileSegment,
    Image,
    Job,
    JobResult,
    Model,
    ModelFile,
    Tenant,
)
from regraft.contract.errors import JobError
from regraft.contract.ids import new_id
from regraft.contract.job import DATASETS
from regraft.contract.resources import ClassCount, Warn
from regraft.contract.status import DatasetStatus, JobStatus
from regraft.contract.verdict import Verdict
from regraft.contract.version import __version__

_IMAGES_AT_ONCE = 1000


class Range(NamedTuple):
    """`length` bytes from `offset` of a stored blob."""

    scope: str
    sha256: str
    offset: int
    length: int


class NewFile(NamedTuple):
    """A file of a model: whole size in bytes and hash, and the ranges that it consists of."""

    name: str
    size: int
    sha256: str
    ranges: Sequence[Range]


@dataclass(frozen=True)
class Trained:
    """What a training made; its blobs are stored already."""

    backbone: str
    strategy: str
    labels: list[str]
    metrics: dict[str, object]
    transfer: dict[str, object]
    lineage: dict[str, object]
    num_images: int
    files: Sequence[NewFile]


class Answered(NamedTuple):
    """What a batch answered, whole: size in bytes and hash, rows, and those in error."""

    size: int
    sha256: str
    num_rows: int
    num_errors: int


class CheckedImage(NamedTuple):
    """One file and its verdict; hashes of its clean copy and thumbnail, width and height in pixels.

    `content` identifies what is seen.
    """

    path: str
    label: str | None
    group: str | None
    split: str | None
    verdict: Verdict
    message: str | None
    sha256: str | None
    thumbnail: str | None
    content: str | None
    width: int | None
    height: int | None


@dataclass(frozen=True)
class Ingested:
    """What checking an upload found; the clean copies are stored already."""

    status: DatasetStatus
    reason: str | None
    num_images: int
    num_rejected: int
    num_unlabelled: int
    classes: list[ClassCount]
    warnings: list[Warn]
    images: Sequence[CheckedImage]


def succeed_training(session: Session, claim: Claim, trained: Trained) -> bool:
    """End a training well: the job, its result, the model's next version and its files."""
    if not leave(session, claim, JobStatus.SUCCEEDED, "Succeeded."):
        return False
    model_id = new_id("md")
    name = claim.register_as or "model"
    session.execute(
        insert(Model).values(
            id=model_id,
            tenant_id=claim.tenant_id,
            name=name,
            version=_next_version(session, claim.tenant_id, name),
            job_id=claim.job_id,
            backbone=trained.backbone,
            strategy=trained.strategy,
            labels=trained.labels,
            metrics=trained.metrics,
            transfer=trained.transfer,
            lineage=_lineage(session, claim, trained),
            user_metadata=claim.user_metadata,
        )
    )
    for file in trained.files:
        _add_file(session, claim.tenant_id, model_id, file)
    _add_result(
        session,
        claim,
        num_images=trained.num_images,
        model_id=model_id,
        metrics=trained.metrics,
        transfer=trained.transfer,
    )
    return True


def succeed_ingest(session: Session, claim: Claim, ingested: Ingested) -> bool:
    """End an ingest: the job, the dataset (ready or invalid) and a row for each file."""
    if not leave(session, claim, JobStatus.SUCCEEDED, "Succeeded."):
        return False
    session.execute(
        update(Dataset)
        .where(Dataset.id == claim.dataset_id)
        .values(
            status=ingested.status,
            status_reason=ingested.reason,
            num_images=ingested.num_images,
            num_rejected=ingested.num_rejected,
            num_unlabelled=ingested.num_unlabelled,
            classes=[found.model_dump() for found in ingested.classes],
            warnings=[warning.model_dump() for warning in ingested.warnings],
        ),
        execution_options={"synchronize_session": False},
    )
    outbox.dataset_moved(session, claim.tenant_id, claim.dataset_id, ingested.status)
    for start in range(0, len(ingested.images), _IMAGES_AT_ONCE):
        batch = ingested.images[start : start + _IMAGES_AT_ONCE]
        rows = [_image_row(claim, seq, image) for seq, image in enumerate(batch, start)]
        session.execute(insert(Image), rows)
    _add_result(session, claim, num_images=len(ingested.images))
    return True


def succeed_batch(session: Session, claim: Claim, answered: Answered) -> bool:
    """End a batch well: the job, its result, and its file, which consists of the parts kept."""
    if not leave(session, claim, JobStatus.SUCCEEDED, "Succeeded."):
        return False
    session.execute(
        insert(BatchFile).values(
            job_id=claim.job_id, tenant_id=claim.tenant_id, **answered._asdict()
        )
    )
    _add_result(session, claim, num_images=answered.num_rows)
    return True


def succeed_evaluation(
    session: Session, claim: Claim, metrics: dict[str, object], num_images: int
) -> bool:
    """End an evaluation well: the job and its result; there is no model."""
    if not leave(session, claim, JobStatus.SUCCEEDED, "Succeeded."):
        return False
    _add_result(session, claim, num_images=num_images, metrics=metrics)
    return True


def fail(session: Session, held: Held, error: JobError, **values: Any) -> bool:
    """End a job with an error that its user is shown; `values` are further columns to set."""
    return leave(
        session,
        held,
        JobStatus.FAILED,
        error.message,
        level="error",
        data={"code": error.code},
        error=error.model_dump(by_alias=True),
        status_reason=error.message,
        **values,
    )


def cancel(session: Session, held: Held) -> bool:
    """End a running job because its user wished so."""
    return leave(session, held, JobStatus.CANCELLED, "Cancelled.")


def _next_version(session: Session, tenant_id: str, name: str) -> int:
    """Return the number of the next version, holding the tenant until this transaction ends.

    Two jobs of one tenant that finish together take their turns here, so neither version is
    lost to the unique constraint.
    """
    lock = select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True)
    session.execute(lock)
    newest = select(func.max(Model.version)).where(Model.tenant_id == tenant_id, Model.name == name)
    return (session.scalar(newest) or 0) + 1


def _lineage(session: Session, claim: Claim, trained: Trained) -> dict[str, object]:
    """Return what the trainer says of the model's origin, and what only the service knows."""
    named = [claim.spec[field] for field in DATASETS if claim.spec.get(field) is not None]
    columns = (Dataset.id, Dataset.name, Dataset.version, Dataset.source_sha256)
    mine = (Dataset.tenant_id == claim.tenant_id) & Dataset.id.in_(named)
    rows = session.execute(select(*columns).where(mine).order_by(Dataset.id))
    return {
        **trained.lineage,
        "job": claim.job_id,
        "attempt": claim.attempt,
        "code_version": __version__,
        "datasets": [
            {"id": row.id, "name": row.name, "version": row.version, "sha256": row.source_sha256}
            for row in rows
        ],
    }


def _add_file(session: Session, tenant_id: str, model_id: str, file: NewFile) -> None:
    session.execute(
        insert(ModelFile).values(
            model_id=model_id,
            name=file.name,
            tenant_id=tenant_id,
            size=file.size,
            sha256=file.sha256,
        )
    )
    rows = [
        {
            "model_id": model_id,
            "file_name": file.name,
            "seq": seq,
            "tenant_id": tenant_id,
            "scope": part.scope,
            "blob_sha256": part.sha256,
            "offset": part.offset,
            "length": part.length,
        }
        for seq, part in enumerate(file.ranges)
    ]
    if rows:
        session.execute(insert(FileSegment), rows)


def _add_result(session: Session, claim: Claim, *, num_images: int, **values: object) -> None:
    seconds = session.scalar(select(Job.seconds_run).where(Job.id == claim.job_id))
    session.execute(
        insert(JobResult).values(
            job_id=claim.job_id,
            tenant_id=claim.tenant_id,
            fence=claim.fence,
            usage={"device_seconds": seconds, "num_images": num_images},
            **values,
        )
    )


def _image_row(claim: Claim, seq: int, image: CheckedImage) -> dict[str, object]:
    return {
        "id": new_id("img"),
        "tenant_id": claim.tenant_id,
        "dataset_id": claim.dataset_id,
        "seq": seq,
        "path": image.path,
        "label": image.label,
        "product_group": image.group,
        "split": image.split,
        "verdict": image.verdict,
        "message": image.message,
        "sha256": image.sha256,
        "thumbnail_sha256": image.thumbnail,
        "content": image.content,
        "width": image.width,
        "height": image.height,
    }
