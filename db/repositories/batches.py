"""Batches as a merchant sees them: submitted, listed, steered, their answers read and deleted."""

import json
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy.orm import Session

from core.queues import device_class_of
from core.refusals import ConflictError
from db.lifecycle import answers, events
from db.models import BatchFile, BatchPart, Job, JobEvent, JobResult
from db.repositories import datasets, models, queueing, quotas, steering
from db.repositories.models import Segment, StoredFile
from db.repositories.reading import Slice, Window, get, newest_first, oldest_first
from db.repositories.submissions import WEIGHTS_FILE
from db.tenancy import scoped
from regraft.contract.batch import BatchSubmission
from regraft.contract.catalog import BACKBONES
from regraft.contract.ids import new_id
from regraft.contract.status import TERMINAL, JobKind, RequestedAction

_BATCH = Job.kind == JobKind.BATCH


class Overview(NamedTuple):
    """A batch, what it used and answered, and its place in the queue while it is queued."""

    job: Job
    result: JobResult | None
    file: BatchFile | None
    place: queueing.Place | None


class Filter(NamedTuple):
    """Which batches to list; None leaves a field open."""

    dataset: str | None = None
    model: str | None = None


def submit(
    session: Session, tenant_id: str, submission: BatchSubmission, trainer_class: str
) -> Overview:
    """Insert a queued batch and its first event.

    Raises `NotFoundError` for a dataset or a model that the tenant has not, `ConflictError` for
    one that is not ready or has no weights, `QuotaError`; `param` names the field.
    """
    datasets.ready(session, tenant_id, submission.dataset, "dataset")
    model_id = _usable(session, tenant_id, submission.model)
    quotas.admit_job(session, tenant_id)
    quotas.admit_bytes(session, tenant_id, 1)
    spec = submission.model_copy(update={"model": model_id}).spec()
    job = Job(
        id=new_id("job"),
        tenant_id=tenant_id,
        kind=JobKind.BATCH,
        device_class=device_class_of(JobKind.BATCH, trainer_class),
        name=submission.name,
        spec=spec.model_dump(mode="json"),
        dataset_id=submission.dataset,
        user_metadata=submission.metadata,
        priority=submission.priority,
    )
    queueing.enqueue(session, job)
    return _overviews(session, tenant_id, [job])[0]


def _usable(session: Session, tenant_id: str, reference: str) -> str:
    """Return the id of a model that can answer, which is not deleted before the transaction ends.

    Raises `NotFoundError` or `ConflictError`.
    """
    model = models.find(session, tenant_id, reference, param="model")
    if models.held(session, tenant_id, model.id) is None:
        return models.find(session, tenant_id, model.id, param="model").id
    if models.file_if_any(session, tenant_id, model.id, WEIGHTS_FILE) is None:
        raise ConflictError("The model's weights were not kept.", "model")
    if model.backbone not in BACKBONES:
        raise ConflictError(f"This service has no backbone {model.backbone} any more.", "model")
    return model.id


def retry(session: Session, tenant_id: str, batch_id: str, trainer_class: str) -> Overview:
    """Submit a batch that has ended once more, as one of its own.

    Raises what `submit` raises, `NotFoundError`, or `ConflictError` for one that has not ended.
    """
    job = find(session, tenant_id, batch_id)
    if job.status not in TERMINAL:
        raise ConflictError(f"The batch is {job.status}; only one that has ended can run again.")
    named = {"name": job.name, "metadata": job.user_metadata, "priority": job.priority}
    try:
        submission = BatchSubmission.model_validate_json(json.dumps({**job.spec, **named}))
    except ValidationError as error:
        raise ConflictError("An older version took this batch: submit it anew.") from error
    found = submit(session, tenant_id, submission, trainer_class)
    events.record(
        session,
        tenant_id=tenant_id,
        job_id=found.job.id,
        fence=0,
        level="info",
        type="message",
        message=f"The same as {job.id}, once more.",
    )
    return found


def find(session: Session, tenant_id: str, batch_id: str) -> Job:
    """Return one batch's job; raises `NotFoundError`, as for a job of another kind."""
    return get(session, scoped(Job, tenant_id).where(_BATCH, Job.id == batch_id), "batch")


def show(session: Session, tenant_id: str, batch_id: str) -> Overview:
    """Return one batch; raises `NotFoundError`."""
    return _overviews(session, tenant_id, [find(session, tenant_id, batch_id)])[0]


def listed(session: Session, tenant_id: str, wanted: Filter, window: Window) -> Slice[Overview]:
    """Return a page of the tenant's batches, newest first."""
    query = scoped(Job, tenant_id).where(_BATCH)
    if wanted.dataset is not None:
        query = query.where(Job.dataset_id == wanted.dataset)
    if wanted.model is not None:
        query = query.where(answers.of_model(wanted.model))
    page = newest_first(session, query, Job.id, "job", window)
    return Slice(_overviews(session, tenant_id, page.rows), page.next_cursor)


def steer(
    session: Session, tenant_id: str, batch_id: str, action: RequestedAction | None
) -> Overview:
    """Cancel, pause or, with None, resume a batch; a running one is asked to.

    Raises `NotFoundError`, or `ConflictError` where its status does not allow it.
    """
    steering.steer(session, partial(find, session, tenant_id, batch_id), action)
    return show(session, tenant_id, batch_id)


def history(session: Session, tenant_id: str, batch_id: str, window: Window) -> Slice[JobEvent]:
    """Return a page of a batch's events, oldest first; raises `NotFoundError`."""
    find(session, tenant_id, batch_id)
    query = scoped(JobEvent, tenant_id).where(JobEvent.job_id == batch_id)
    return oldest_first(session, query, JobEvent.seq, window)


def stored_file(session: Session, tenant_id: str, batch_id: str) -> StoredFile:
    """Return where a batch's answers lie; raises `NotFoundError` where there are none."""
    job = find(session, tenant_id, batch_id)
    file = get(session, scoped(BatchFile, tenant_id).where(BatchFile.job_id == job.id), "file")
    parts = scoped(BatchPart, tenant_id).where(BatchPart.job_id == job.id)
    segments = [
        Segment(tenant_id, part.sha256, 0, part.size)
        for part in session.scalars(parts.order_by(BatchPart.seq))
    ]
    return StoredFile(job.id, file_name(job), file.size, file.sha256, tuple(segments))


def remove_file(session: Session, tenant_id: str, batch_id: str) -> str:
    """Delete the answers of a batch and return its id; its record stays.

    Raises `NotFoundError`, or `ConflictError` for one that has not ended.
    """
    job = find(session, tenant_id, batch_id)
    if job.status not in TERMINAL:
        raise ConflictError(f"The batch is {job.status}: cancel it to have no answers.")
    answers.drop(session, tenant_id, Job.id == job.id)
    return job.id


def file_name(job: Job) -> str:
    """Return what the answers of a batch are called."""
    return f"predictions.{job.spec['format']}"


def _overviews(session: Session, tenant_id: str, found: list[Job]) -> list[Overview]:
    ids = [job.id for job in found]
    results = scoped(JobResult, tenant_id).where(JobResult.job_id.in_(ids))
    files = scoped(BatchFile, tenant_id).where(BatchFile.job_id.in_(ids))
    result_of = {row.job_id: row for row in session.scalars(results)}
    file_of = {row.job_id: row for row in session.scalars(files)}
    places = queueing.places(session, tenant_id, found)
    return [
        Overview(job, result_of.get(job.id), file_of.get(job.id), places.get(job.id))
        for job in found
    ]
