"""Adaptation jobs: submit, list, show, steer, and what they report."""

from collections.abc import Callable
from typing import Any

from flask import Response

from api import repeatable, shown, streams
from api.routing import Call, PageQuery, Routes
from db.repositories import jobs, queueing
from db.repositories.idempotency import Claim, Transaction
from db.repositories.reading import Slice, Window
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import DatasetId
from regraft.contract.job import JobSubmission
from regraft.contract.registry import Evaluate, NewClasses
from regraft.contract.resources import (
    Checkpoint,
    Job,
    JobEstimate,
    JobEvent,
    MetricSeries,
    Page,
    QueueShare,
)
from regraft.contract.status import ShownStatus

Verb = Callable[[Transaction, str, str], jobs.Overview]

routes = Routes()
_STEERED: dict[str, Any] = {"scope": "write", "status": 202, "errors": (ErrorCode.CONFLICT,)}
_SUBMIT_ERRORS = (
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
    ErrorCode.DATASET_NOT_READY,
    ErrorCode.TOO_FEW_CLASSES,
    ErrorCode.LABEL_SPACES_DISJOINT,
    ErrorCode.QUOTA_EXCEEDED,
    ErrorCode.STORAGE_FULL,
)


class JobQuery(PageQuery):
    """Which jobs to list."""

    status: ShownStatus | None = None
    dataset: DatasetId | None = None


@routes.add(
    "POST",
    "/v1/jobs",
    Job,
    scope="write",
    status=202,
    errors=_SUBMIT_ERRORS,
    repeatable=True,
)
def submit_job(call: Call, body: JobSubmission) -> Response:
    """Submit an adaptation job; it is queued, and runs when its turn comes."""
    claim = repeatable.claim(body.model_dump(mode="json"))
    return _submitted(
        call, claim, lambda session, trainer: jobs.submit(session, call.tenant_id, body, trainer)
    )


@routes.add(
    "POST",
    "/v1/jobs/{job_id}/retry",
    Job,
    scope="write",
    status=202,
    errors=_SUBMIT_ERRORS,
    repeatable=True,
)
def retry_job(call: Call, job_id: str) -> Response:
    """Submit a job that has ended once more, as a new job with the same body."""
    return _submitted(
        call,
        repeatable.claim({}),
        lambda session, trainer: jobs.retry(session, call.tenant_id, job_id, trainer),
    )


@routes.add(
    "POST",
    "/v1/models/{ref}/classes",
    Job,
    scope="write",
    status=202,
    errors=(*_SUBMIT_ERRORS, ErrorCode.LABEL_EXISTS, ErrorCode.TOO_FEW_IMAGES),
    repeatable=True,
)
def add_classes(call: Call, ref: str, body: NewClasses) -> Response:
    """Add labels to a model from a few images, without training: a job makes its next version.

    Probabilities of the labels known before change only as far as the new ones take of them. The
    job fails with `harmful_extension` where images tell that known labels lose, or that the new
    ones are not recognised, unless `guard` is off.
    """
    return _submitted(
        call,
        repeatable.claim(body.model_dump(mode="json")),
        lambda session, trainer: jobs.extend(session, call.tenant_id, ref, body, trainer),
    )


@routes.add(
    "POST",
    "/v1/models/{ref}/evaluate",
    Job,
    scope="write",
    status=202,
    errors=_SUBMIT_ERRORS,
    repeatable=True,
)
def evaluate_model(call: Call, ref: str, body: Evaluate) -> Response:
    """Measure a model on a dataset: a job whose `metrics.test` say how good it is there.

    Images whose label the model does not know are counted in `metrics.unknown_labels`.
    """
    return _submitted(
        call,
        repeatable.claim(body.model_dump(mode="json")),
        lambda session, trainer: jobs.evaluate(session, call.tenant_id, ref, body, trainer),
    )


@routes.add("GET", "/v1/models/{ref}/evaluations", Page[Job])
def list_evaluations(call: Call, ref: str, query: PageQuery) -> Page[Job]:
    """List the jobs that measured a model, newest first."""
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = jobs.evaluations(session, call.tenant_id, ref, window)
    return shown.page(rows, shown.job)


def _submitted(
    call: Call, claim: Claim | None, insert: Callable[[Transaction, str], jobs.Overview]
) -> Response:
    """Answer with the job that `insert` queues for the trainers' class, once for each key."""
    trainer = call.services.settings.device_class
    return repeatable.once(call, claim, 202, lambda session: shown.job(insert(session, trainer)))


@routes.add("POST", "/v1/jobs/estimate", JobEstimate, errors=_SUBMIT_ERRORS)
def estimate_job(call: Call, body: JobSubmission) -> JobEstimate:
    """Check a job without submitting it: what would run, when, and what speaks against it."""
    device_class = call.services.settings.device_class
    with call.database.write() as session:
        return shown.estimate(body, jobs.estimate(session, call.tenant_id, body, device_class))


@routes.add("GET", "/v1/jobs", Page[Job])
def list_jobs(call: Call, query: JobQuery) -> Page[Job]:
    """List jobs, newest first."""
    wanted = jobs.Filter(query.status, query.dataset)
    with call.database.read() as session:
        rows = jobs.listed(session, call.tenant_id, wanted, Window(query.limit, query.cursor))
    return shown.page(rows, shown.job)


@routes.add("GET", "/v1/jobs/{job_id}", Job)
def show_job(call: Call, job_id: str) -> Job:
    """Show one job."""
    with call.database.read() as session:
        return shown.job(jobs.show(session, call.tenant_id, job_id))


@routes.add("GET", "/v1/queue", QueueShare)
def show_queue(call: Call) -> QueueShare:
    """Show what your fair share of the devices is now, and why your next job waits."""
    device_class = call.services.settings.device_class
    with call.database.read() as session:
        return shown.share(queueing.share(session, call.tenant_id, device_class))


def _steer(call: Call, job_id: str, verb: Verb) -> Job:
    with call.database.write() as session:
        return shown.job(verb(session, call.tenant_id, job_id))


@routes.add("POST", "/v1/jobs/{job_id}/cancel", Job, **_STEERED)
def cancel_job(call: Call, job_id: str) -> Job:
    """Cancel a job: at once if it waits, within seconds if it runs. It makes no model."""
    return _steer(call, job_id, jobs.cancel)


@routes.add("POST", "/v1/jobs/{job_id}/stop", Job, **_STEERED)
def stop_job(call: Call, job_id: str) -> Job:
    """Ask a running job to end training now; the best model so far is kept."""
    return _steer(call, job_id, jobs.stop)


@routes.add("POST", "/v1/jobs/{job_id}/pause", Job, **_STEERED)
def pause_job(call: Call, job_id: str) -> Job:
    """Pause a job: at once if it waits, after a checkpoint if it runs."""
    return _steer(call, job_id, jobs.pause)


@routes.add("POST", "/v1/jobs/{job_id}/resume", Job, **_STEERED)
def resume_job(call: Call, job_id: str) -> Job:
    """Queue a paused job again; it goes on from its last checkpoint."""
    return _steer(call, job_id, jobs.resume)


@routes.add(
    "GET",
    "/v1/jobs/{job_id}/events",
    Page[JobEvent],
    streams=streams.MEDIA_TYPE,
    headers={"Last-Event-ID": "With `Accept: text/event-stream`: the event to go on behind."},
)
def list_events(call: Call, job_id: str, query: PageQuery) -> Page[JobEvent] | Response:
    """List what happened to a job, oldest first.

    With `Accept: text/event-stream` it is followed live until the job ends.
    """
    if streams.is_asked_for():
        return streams.stream(call, job_id)
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = jobs.history(session, call.tenant_id, job_id, window)
    return shown.page(rows, shown.event)


@routes.add("GET", "/v1/jobs/{job_id}/checkpoints", Page[Checkpoint])
def list_checkpoints(call: Call, job_id: str) -> Page[Checkpoint]:
    """List what a job can go on from, newest first; there are two at most."""
    with call.database.read() as session:
        rows = jobs.checkpoints(session, call.tenant_id, job_id)
    return shown.page(Slice(rows, None), shown.checkpoint)


@routes.add("GET", "/v1/jobs/{job_id}/metrics", MetricSeries)
def show_metrics(call: Call, job_id: str) -> MetricSeries:
    """Show every metric that a job reported, as series."""
    with call.database.read() as session:
        return shown.metrics(jobs.metrics(session, call.tenant_id, job_id))
