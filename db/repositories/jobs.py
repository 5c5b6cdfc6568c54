"""Adaptation jobs as a merchant sees them: submitted, listed, steered, their history read.

The row is the outbox: nothing is published here, control finds what is queued.
"""

import json
from functools import partial
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy.orm import Session

from core.queues import device_class_of
from core.refusals import ConflictError, RefusedError
from db.lifecycle import checkpoints as kept
from db.lifecycle import events
from db.models import Dataset, Job, JobCheckpoint, JobEvent, JobMetric, JobResult, Model
from db.repositories import datasets, models, queueing, quotas, steering, submissions
from db.repositories.reading import Slice, Window, get, newest_first, oldest_first
from db.tenancy import scoped
from regraft.contract.ids import new_id
from regraft.contract.job import FromModel, JobSubmission
from regraft.contract.registry import Evaluate, NewClasses
from regraft.contract.status import (
    SHOWN_KINDS,
    TERMINAL,
    EventLevel,
    JobKind,
    JobStatus,
    RequestedAction,
    ShownStatus,
)
from regraft.contract.strategies import Prototype


class Overview(NamedTuple):
    """A job, what it made, and its place in the queue while it is queued."""

    job: Job
    result: JobResult | None
    place: queueing.Place | None


class Estimate(NamedTuple):
    """What would become of a job that is not submitted."""

    warnings: list[str]
    prospect: queueing.Prospect


class Filter(NamedTuple):
    """Which jobs to list; None leaves a field open."""

    status: ShownStatus | None = None
    dataset: str | None = None


_WISHES = {
    ShownStatus.CANCELLING: RequestedAction.CANCEL,
    ShownStatus.PAUSING: RequestedAction.PAUSE,
    ShownStatus.STOPPING: RequestedAction.STOP,
}
# What a field of a job is called where it is made of a shorter body.
_PARAMS = {"strategy.label": "label", "base.model": "ref"}
_SHOWN = Job.kind.in_(SHOWN_KINDS)


def submit(
    session: Session, tenant_id: str, submission: JobSubmission, trainer_class: str
) -> Overview:
    """Insert a queued job and its first event, with a warning where what it names is risky.

    Raises what `submissions.resolved` and `check` raise, or `QuotaError`.
    """
    submission = submissions.resolved(session, tenant_id, submission)
    warnings = submissions.check(session, tenant_id, submission)
    quotas.admit_job(session, tenant_id)
    job = Job(
        id=new_id("job"),
        tenant_id=tenant_id,
        kind=JobKind.TRAIN,
        device_class=device_class_of(JobKind.TRAIN, trainer_class),
        name=submission.name,
        register_as=submission.model_name(),
        spec=submission.spec().model_dump(mode="json"),
        dataset_id=submission.dataset,
        user_metadata=submission.metadata,
        priority=submission.priority,
    )
    queueing.enqueue(session, job)
    for message in warnings:
        _tell(session, job, message, level="warn")
    return _overviews(session, tenant_id, [job])[0]


def extend(
    session: Session, tenant_id: str, reference: str, wanted: NewClasses, trainer_class: str
) -> Overview:
    """Submit a job that adds labels to a model, as the next version of its name.

    Raises what `submit` raises, and `NotFoundError` for the model.
    """
    model = models.find(session, tenant_id, reference)
    test = wanted.test_dataset or _test_of(session, tenant_id, model, wanted.dataset)
    submission = JobSubmission(
        **wanted.model_dump(exclude={"label", "test_dataset"}),
        test_dataset=test,
        base=FromModel(model=model.id),
        strategy=Prototype(extends=True, label=wanted.label),
        register_as=model.name,
    )
    try:
        return submit(session, tenant_id, submission, trainer_class)
    except RefusedError as error:
        error.param = _PARAMS.get(error.param or "", error.param)
        raise


def evaluate(
    session: Session, tenant_id: str, reference: str, wanted: Evaluate, trainer_class: str
) -> Overview:
    """Submit a job that measures a model on a dataset; it trains nothing and makes no model.

    Raises `NotFoundError`, `ConflictError` for a dataset that is not ready or a model without
    weights, `RefusedError` where they share no label, or `QuotaError`.
    """
    model = models.find(session, tenant_id, reference)
    submission = JobSubmission(dataset=wanted.dataset, base=FromModel(model=model.id))
    try:
        submissions.check(session, tenant_id, submission)
    except RefusedError as error:
        error.param = _PARAMS.get(error.param or "", error.param)
        raise
    warning = submissions.measurable(session, tenant_id, model, wanted.dataset)
    quotas.admit_job(session, tenant_id)
    job = Job(
        id=new_id("job"),
        tenant_id=tenant_id,
        kind=JobKind.EVALUATE,
        device_class=device_class_of(JobKind.EVALUATE, trainer_class),
        name=wanted.name,
        register_as=model.name,
        # As a reader of jobs knows it, so that an older client can list what it does not know.
        spec={**submission.spec().model_dump(mode="json"), "strategy": {"type": "none"}},
        dataset_id=wanted.dataset,
        user_metadata=wanted.metadata,
        priority=wanted.priority,
    )
    queueing.enqueue(session, job)
    if warning is not None:
        _tell(session, job, warning, level="warn")
    return _overviews(session, tenant_id, [job])[0]


def evaluations(
    session: Session, tenant_id: str, reference: str, window: Window
) -> Slice[Overview]:
    """Return a page of the jobs that measured a model, newest first; raises `NotFoundError`."""
    model = models.find(session, tenant_id, reference)
    query = scoped(Job, tenant_id).where(
        Job.kind == JobKind.EVALUATE, Job.spec["base"]["model"].as_string() == model.id
    )
    page = newest_first(session, query, Job.id, "job", window)
    return Slice(_overviews(session, tenant_id, page.rows), page.next_cursor)


def _base_model(job: Job) -> str:
    base = job.spec.get("base")
    return str(base.get("model")) if isinstance(base, dict) else ""


def _test_of(session: Session, tenant_id: str, model: Model, dataset: str) -> str | None:
    """Return the test dataset of a model, unless it is gone or is to be learned from."""
    job = session.scalar(scoped(Job, tenant_id).where(Job.id == model.job_id))
    named = None if job is None else job.spec.get("test_dataset")
    ready = datasets.live(tenant_id).where(Dataset.id == named, Dataset.status == "ready")
    found = session.scalar(ready.with_only_columns(Dataset.id)) if named else None
    return None if found == dataset else found


def retry(session: Session, tenant_id: str, job_id: str, trainer_class: str) -> Overview:
    """Submit a job that has ended once more, as a job of its own.

    Raises what `submit` raises, `NotFoundError`, or `ConflictError` for a job that has not ended.
    """
    job = find(session, tenant_id, job_id)
    if job.status not in TERMINAL:
        raise ConflictError(f"The job is {job.status}; only one that has ended can run again.")
    if job.kind == JobKind.EVALUATE:
        named = {"name": job.name, "metadata": job.user_metadata, "priority": job.priority}
        again = Evaluate.model_validate({"dataset": job.dataset_id, **named})
        found = evaluate(session, tenant_id, _base_model(job), again, trainer_class)
    else:
        found = submit(session, tenant_id, _submission(job), trainer_class)
    _tell(session, found.job, f"The same as {job.id}, once more.", level="info")
    return found


def _submission(job: Job) -> JobSubmission:
    """Return what a job was submitted as; raises `ConflictError` where that is taken no more."""
    named = {
        "name": job.name,
        "register_as": job.register_as,
        "metadata": job.user_metadata,
        "priority": job.priority,
    }
    try:
        return JobSubmission.model_validate_json(json.dumps({**job.spec, **named}))
    except ValidationError as error:
        raise ConflictError("An older version took this job: submit it anew.") from error


def estimate(
    session: Session, tenant_id: str, submission: JobSubmission, trainer_class: str
) -> Estimate:
    """Return what `submit` would do; raises what it would raise, and writes nothing."""
    submission = submissions.resolved(session, tenant_id, submission)
    warnings = submissions.check(session, tenant_id, submission)
    quotas.admit_job(session, tenant_id)
    device_class = device_class_of(JobKind.TRAIN, trainer_class)
    return Estimate(warnings, queueing.prospect(session, tenant_id, device_class))


def _tell(session: Session, job: Job, message: str, *, level: EventLevel) -> None:
    events.record(
        session,
        tenant_id=job.tenant_id,
        job_id=job.id,
        fence=0,
        level=level,
        type="message",
        message=message,
    )


def find(session: Session, tenant_id: str, job_id: str) -> Job:
    """Return one job that merchants know; raises `NotFoundError`, as for an ingest job."""
    return get(session, scoped(Job, tenant_id).where(_SHOWN, Job.id == job_id), "job")


def show(session: Session, tenant_id: str, job_id: str) -> Overview:
    """Return one training job with its result; raises `NotFoundError`."""
    return _overviews(session, tenant_id, [find(session, tenant_id, job_id)])[0]


def listed(session: Session, tenant_id: str, wanted: Filter, window: Window) -> Slice[Overview]:
    """Return a page of the tenant's training jobs, newest first."""
    query = scoped(Job, tenant_id).where(_SHOWN)
    if wanted.dataset is not None:
        query = query.where(Job.dataset_id == wanted.dataset)
    if wanted.status in _WISHES:
        query = query.where(
            Job.status == JobStatus.RUNNING, Job.requested_action == _WISHES[wanted.status]
        )
    elif wanted.status is not None:
        query = query.where(Job.status == wanted.status.value)
        if wanted.status is ShownStatus.RUNNING:
            query = query.where(Job.requested_action.is_(None))
    page = newest_first(session, query, Job.id, "job", window)
    return Slice(_overviews(session, tenant_id, page.rows), page.next_cursor)


def cancel(session: Session, tenant_id: str, job_id: str) -> Overview:
    """Cancel a job that waits, or ask the worker of a running one to; it makes no model."""
    return _steer(session, tenant_id, job_id, RequestedAction.CANCEL)


def pause(session: Session, tenant_id: str, job_id: str) -> Overview:
    """Pause a queued job, or ask the worker of a running one to write a checkpoint and let go."""
    return _steer(session, tenant_id, job_id, RequestedAction.PAUSE)


def stop(session: Session, tenant_id: str, job_id: str) -> Overview:
    """Ask the worker of a running job to end training now and keep the best model."""
    return _steer(session, tenant_id, job_id, RequestedAction.STOP)


def resume(session: Session, tenant_id: str, job_id: str) -> Overview:
    """Queue a paused job again; it goes on from its last checkpoint."""
    return _steer(session, tenant_id, job_id, None)


def _steer(
    session: Session, tenant_id: str, job_id: str, action: RequestedAction | None
) -> Overview:
    """Follow a merchant's wish, or leave it for the worker; asking twice is no error.

    Raises `NotFoundError`, or `ConflictError` for a job whose status does not allow it.
    """
    steering.steer(session, partial(find, session, tenant_id, job_id), action)
    return show(session, tenant_id, job_id)


def history(session: Session, tenant_id: str, job_id: str, window: Window) -> Slice[JobEvent]:
    """Return a page of a job's events, oldest first; raises `NotFoundError`."""
    find(session, tenant_id, job_id)
    query = scoped(JobEvent, tenant_id).where(JobEvent.job_id == job_id)
    return oldest_first(session, query, JobEvent.seq, window)


def checkpoints(session: Session, tenant_id: str, job_id: str) -> list[JobCheckpoint]:
    """Return the checkpoints a job can go on from, newest first; raises `NotFoundError`."""
    return kept.newest_first(session, find(session, tenant_id, job_id).id)


def metrics(session: Session, tenant_id: str, job_id: str) -> list[JobMetric]:
    """Return every value a job reported, by name and step; raises `NotFoundError`."""
    find(session, tenant_id, job_id)
    query = scoped(JobMetric, tenant_id).where(JobMetric.job_id == job_id)
    return list(session.scalars(query.order_by(JobMetric.name, JobMetric.step)))


def _overviews(session: Session, tenant_id: str, found: list[Job]) -> list[Overview]:
    ids = [job.id for job in found]
    results = {
        row.job_id: row
        for row in session.scalars(scoped(JobResult, tenant_id).where(JobResult.job_id.in_(ids)))
    }
    places = queueing.places(session, tenant_id, found)
    return [Overview(job, results.get(job.id), places.get(job.id)) for job in found]
