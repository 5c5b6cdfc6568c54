"""Adaptation jobs: submit, list, show, cancel, and what they report."""

from flask import Response

from api import repeatable, shown
from api.routing import Call, PageQuery, Routes
from db.repositories import jobs, queueing
from db.repositories.idempotency import Transaction
from db.repositories.reading import Window
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import DatasetId
from regraft.contract.job import JobSubmission
from regraft.contract.resources import Job, JobEvent, MetricSeries, Page, QueueShare
from regraft.contract.status import ShownStatus

routes = Routes()


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
    errors=(ErrorCode.NOT_FOUND, ErrorCode.DATASET_NOT_READY, ErrorCode.STORAGE_FULL),
    repeatable=True,
)
def submit_job(call: Call, body: JobSubmission) -> Response:
    """Submit an adaptation job; it is queued, and runs when its turn comes."""
    trainer_class = call.services.settings.device_class

    def create(session: Transaction) -> Job:
        return shown.job(jobs.submit(session, call.tenant_id, body, trainer_class))

    return repeatable.once(call, repeatable.claim(body.model_dump(mode="json")), 202, create)


@routes.add("GET", "/v1/jobs", Page[Job])
def list_jobs(call: Call, query: JobQuery) -> Page[Job]:
    """List jobs, newest first."""
    wanted = jobs.Filter(query.status, query.dataset)
    with call.services.database.read() as session:
        rows = jobs.listed(session, call.tenant_id, wanted, Window(query.limit, query.cursor))
    return shown.page(rows, shown.job)


@routes.add("GET", "/v1/jobs/{job_id}", Job)
def show_job(call: Call, job_id: str) -> Job:
    """Show one job."""
    with call.services.database.read() as session:
        return shown.job(jobs.show(session, call.tenant_id, job_id))


@routes.add("GET", "/v1/queue", QueueShare)
def show_queue(call: Call) -> QueueShare:
    """Show what your fair share of the devices is now, and why your next job waits."""
    device_class = call.services.settings.device_class
    with call.services.database.read() as session:
        return shown.share(queueing.share(session, call.tenant_id, device_class))


@routes.add(
    "POST",
    "/v1/jobs/{job_id}/cancel",
    Job,
    scope="write",
    status=202,
    errors=(ErrorCode.CONFLICT,),
)
def cancel_job(call: Call, job_id: str) -> Job:
    """Cancel a job: at once if it waits, within seconds if it runs. It makes no model."""
    with call.services.database.write() as session:
        return shown.job(jobs.cancel(session, call.tenant_id, job_id))


@routes.add("GET", "/v1/jobs/{job_id}/events", Page[JobEvent])
def list_events(call: Call, job_id: str, query: PageQuery) -> Page[JobEvent]:
    """List what happened to a job, oldest first."""
    window = Window(query.limit, query.cursor)
    with call.services.database.read() as session:
        rows = jobs.history(session, call.tenant_id, job_id, window)
    return shown.page(rows, shown.event)


@routes.add("GET", "/v1/jobs/{job_id}/metrics", MetricSeries)
def show_metrics(call: Call, job_id: str) -> MetricSeries:
    """Show every metric that a job reported, as series."""
    with call.services.database.read() as session:
        return shown.metrics(jobs.metrics(session, call.tenant_id, job_id))
