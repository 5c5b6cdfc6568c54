"""Jobs: submit, read, steer, their events and metrics, and waiting for their end.

May import the contract and this package's own modules.
"""

from collections.abc import Callable, Iterator
from typing import Any

from regraft.client.errors import InvalidInput, JobFailed
from regraft.client.following import Following
from regraft.client.transport import Transport, new_key, path
from regraft.client.waiting import poll
from regraft.contract.job import JobSubmission
from regraft.contract.resources import Checkpoint, Job, JobEvent, MetricSeries, Page, QueueShare
from regraft.contract.status import TERMINAL, JobStatus, ShownStatus

OVER = frozenset(status.value for status in TERMINAL)


class Jobs:
    """The merchant's adaptation jobs."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        submission: JobSubmission | None = None,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Job:
        """Submit a job: a `JobSubmission`, or its fields by name (`dataset="ds_…"`).

        Fields given by name are judged by the service alone, so a newer one's are not refused
        here. Each call has a key of its own: a retry inside it never makes a second job.

        Raises:
            ValidationFailed: `param` and `details` name the fields at fault.
        """
        if submission is not None:
            if fields:
                raise InvalidInput("give a JobSubmission or fields by name, not both")
            fields = submission.model_dump(mode="json", exclude_unset=True)
        return self._transport.post(path("jobs"), Job, fields, idempotency_key or new_key())

    def get(self, job: str) -> Job:
        """Return one job."""
        return self._transport.get(path("jobs", job), Job)

    def list(
        self,
        *,
        status: ShownStatus | str | None = None,
        dataset: str | None = None,
        page_size: int = 100,
    ) -> Iterator[Job]:
        """Yield jobs, newest first; all of them, or those of one status or dataset."""
        params = {"status": status and str(status), "dataset": dataset, "limit": page_size}
        return self._transport.pages(path("jobs"), Page[Job], params)

    def cancel(self, job: str) -> Job:
        """Ask for the end of a job; a running one is `cancelling` until its worker hears of it."""
        return self._steer(job, "cancel")

    def stop(self, job: str) -> Job:
        """Ask a running job to end training now and keep the best model so far."""
        return self._steer(job, "stop")

    def pause(self, job: str) -> Job:
        """Pause a job; a running one is `pausing` until its checkpoint is stored."""
        return self._steer(job, "pause")

    def resume(self, job: str) -> Job:
        """Queue a paused job again, to go on from its last checkpoint."""
        return self._steer(job, "resume")

    def retry(self, job: str, *, idempotency_key: str | None = None) -> Job:
        """Submit a job that has ended once more; the answer is the new job."""
        return self._transport.post(
            path("jobs", job, "retry"), Job, {}, idempotency_key or new_key()
        )

    def _steer(self, job: str, verb: str) -> Job:
        return self._transport.post(path("jobs", job, verb), Job, {})

    def queue(self) -> QueueShare:
        """Return what this merchant gets of the devices now, and why."""
        return self._transport.get(path("queue"), QueueShare)

    def events(self, job: str, *, page_size: int = 100) -> Iterator[JobEvent]:
        """Yield what happened to a job so far, oldest first."""
        params = {"limit": page_size}
        return self._transport.pages(path("jobs", job, "events"), Page[JobEvent], params)

    def follow(self, job: str, *, last: str | None = None) -> Iterator[JobEvent]:
        """Yield what happens to a job as it happens, from its start or behind the event `last`.

        Ends with the job. A broken connection is made again and goes on where it was; where
        the service has no place for a live stream, its pages are read instead.

        Raises:
            ConnectionFailed: the service could not be reached again and again.
        """
        return Following(self._transport, path("jobs", job, "events"), last).events()

    def checkpoints(self, job: str) -> Iterator[Checkpoint]:
        """Yield what the job can go on from, newest first."""
        return self._transport.pages(path("jobs", job, "checkpoints"), Page[Checkpoint], {})

    def metrics(self, job: str) -> MetricSeries:
        """Return every series the job reported."""
        return self._transport.get(path("jobs", job, "metrics"), MetricSeries)

    def wait(
        self,
        job: str,
        *,
        on_update: Callable[[Job], None] | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Return the job once it has succeeded; `timeout` in seconds.

        Raises:
            JobFailed: it failed or was cancelled; `job.error` says why and what to do.
            WaitTimeout: the time is up; the job goes on.
        """
        done = poll(lambda: self.get(job), is_over, on_update, timeout)
        if done.status.value != JobStatus.SUCCEEDED:
            raise JobFailed(done)
        return done


def is_over(job: Job) -> bool:
    """Tell whether the job's status will never change again."""
    return job.status.value in OVER
