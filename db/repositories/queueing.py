"""How every job begins: a queued row and the first line of its history, in one transaction."""

from sqlalchemy.orm import Session

from db.lifecycle import events
from db.models import Job
from regraft.contract.status import JobStatus


def enqueue(session: Session, job: Job) -> Job:
    """Insert a job as queued, with the event that says so; the row is its outbox."""
    session.add(job)
    session.flush()
    events.record(
        session,
        tenant_id=job.tenant_id,
        job_id=job.id,
        fence=0,
        level="info",
        type="status",
        message="Queued.",
        data={"from": None, "to": JobStatus.QUEUED},
    )
    return job
