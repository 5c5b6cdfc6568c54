"""Datasets: made from an upload together with the job that checks it, listed, shown.

A new dataset is `processing` until its ingest job has given every image a verdict.
"""

import re
from pathlib import PurePosixPath
from typing import NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from core.blobs import BlobInfo
from core.queues import INGEST_CLASS
from core.refusals import ConflictError, NotFoundError, RefusedError
from db.models import Blob, Dataset, Image, Job
from db.repositories.models import Segment, StoredFile
from db.repositories.queueing import enqueue
from db.repositories.reading import Slice, Window, get, newest_first, oldest_first
from db.tenancy import scoped
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from regraft.contract.status import JobKind
from regraft.contract.verdict import Verdict

PARENT = "parent"  # the field of an ingest job's spec
_IMAGE_NAME = re.compile(r"image\.(jpe?g|png|webp)", re.ASCII)


class NewDataset(NamedTuple):
    """What an upload asks for; its container is stored in the tenant's scope."""

    name: str
    container: BlobInfo
    metadata: dict[str, str]


def create(session: Session, tenant_id: str, new: NewDataset) -> Dataset:
    """Insert a dataset and the job that will check its images.

    Raises `RefusedError` (`unavailable`) where an erasure has just taken the same container.
    """
    hold_container(session, tenant_id, new.container)
    dataset = Dataset(
        id=new_id("ds"),
        tenant_id=tenant_id,
        name=new.name,
        source_bytes=new.container.size,
        source_sha256=new.container.sha256,
        user_metadata=new.metadata,
    )
    return begun(session, dataset)


def begun(session: Session, dataset: Dataset) -> Dataset:
    """Insert a dataset that is `processing` and the job that will check it; return it.

    The job names the parent too, which must not be erased meanwhile.
    """
    session.add(dataset)
    session.flush()
    spec = {"dataset": dataset.id}
    if dataset.parent_id is not None:
        spec[PARENT] = dataset.parent_id
    enqueue(
        session,
        Job(
            id=new_id("job"),
            tenant_id=dataset.tenant_id,
            kind=JobKind.INGEST,
            device_class=INGEST_CLASS,
            spec=spec,
            dataset_id=dataset.id,
        ),
    )
    return dataset


def hold_container(session: Session, tenant_id: str, container: BlobInfo) -> None:
    """Keep an uploaded file from an erasure until this transaction ends.

    Raises `RefusedError` (`unavailable`) where one has just taken it.
    """
    mine = (Blob.scope == tenant_id) & (Blob.sha256 == container.sha256)
    held = select(Blob.sha256).where(mine).with_for_update(read=True)
    if session.scalar(held) is None:
        raise RefusedError(ErrorCode.UNAVAILABLE, "The upload was lost: send it again.")


def find(session: Session, tenant_id: str, dataset_id: str, *, param: str | None = None) -> Dataset:
    """Return one dataset; raises `NotFoundError`."""
    query = live(tenant_id).where(Dataset.id == dataset_id)
    return get(session, query, "dataset", param=param)


def live(tenant_id: str) -> Select[Dataset]:
    """Return the query of the tenant's datasets that are there; a deleted one's row stays."""
    return scoped(Dataset, tenant_id).where(Dataset.deleted_at.is_(None))


def ready(session: Session, tenant_id: str, dataset_id: str, param: str) -> Dataset:
    """Return a dataset that a job may use, and that is not deleted before this transaction ends.

    Raises `NotFoundError`, or `ConflictError` (`dataset_not_ready`) with the status it is in.
    """
    query = live(tenant_id).where(Dataset.id == dataset_id).with_for_update(read=True)
    dataset = get(session, query, "dataset", param=param)
    if dataset.status != "ready":
        why = f": {dataset.status_reason}" if dataset.status_reason else "."
        raise ConflictError(
            f"The dataset is {dataset.status}, not ready{why}", param, ErrorCode.DATASET_NOT_READY
        )
    return dataset


def listed(session: Session, tenant_id: str, window: Window) -> Slice[Dataset]:
    """Return a page of the tenant's datasets, newest first."""
    return newest_first(session, live(tenant_id), Dataset.id, "ds", window)


def images(
    session: Session, tenant_id: str, dataset_id: str, verdict: Verdict | None, window: Window
) -> Slice[Image]:
    """Return a page of a dataset's images in the order of the upload; raises `NotFoundError`."""
    find(session, tenant_id, dataset_id)
    query = scoped(Image, tenant_id).where(Image.dataset_id == dataset_id)
    if verdict is not None:
        query = query.where(Image.verdict == verdict)
    return oldest_first(session, query, Image.seq, window)


def stored_image(session: Session, tenant_id: str, dataset_id: str, image_id: str) -> StoredFile:
    """Return where a picture's bytes lie; raises `NotFoundError`, as for one that was left out."""
    image = _image(session, tenant_id, dataset_id, image_id)
    name = f"image{PurePosixPath(image.path).suffix.lower()}"
    name = name if _IMAGE_NAME.fullmatch(name) else "image"
    return _stored(session, tenant_id, image_id, name, image.sha256)


def stored_thumbnail(
    session: Session, tenant_id: str, dataset_id: str, image_id: str
) -> StoredFile:
    """Return where a small picture's bytes lie.

    Raises `NotFoundError`, as for an image that was left out, or checked before there were any.
    """
    image = _image(session, tenant_id, dataset_id, image_id)
    return _stored(session, tenant_id, image_id, "thumbnail.jpg", image.thumbnail_sha256)


def _image(session: Session, tenant_id: str, dataset_id: str, image_id: str) -> Image:
    find(session, tenant_id, dataset_id)
    query = scoped(Image, tenant_id).where(Image.dataset_id == dataset_id, Image.id == image_id)
    return get(session, query, "image")


def _stored(
    session: Session, tenant_id: str, image_id: str, name: str, sha256: str | None
) -> StoredFile:
    if sha256 is None:
        raise NotFoundError("image")
    mine = (Blob.scope == tenant_id) & (Blob.sha256 == sha256)
    size = session.scalar(select(Blob.size).where(mine)) or 0
    return StoredFile(image_id, name, size, sha256, (Segment(tenant_id, sha256, 0, size),))
