"""Watching a job to its end; may import the client and the contract."""

from regraft.cli.failures import left_running
from regraft.cli.progress import watch_job
from regraft.client import Client
from regraft.contract.resources import Job


def followed(client: Client, job: str, *, as_json: bool) -> Job:
    """Return the job once it has succeeded; stopping the watch does not stop the job."""
    again = f"{job} goes on; to watch again: regraft jobs follow {job}"
    with left_running(again), watch_job(quiet=as_json) as on_update:
        return client.jobs.wait(job, on_update=on_update)
