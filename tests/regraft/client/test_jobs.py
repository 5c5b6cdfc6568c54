"""Submitting a job, following it, and what comes of it."""

from collections import deque

import pytest

from regraft.client import Client, InvalidInput, JobFailed
from regraft.contract.errors import ErrorCode, JobError
from regraft.contract.ids import new_id
from regraft.contract.job import Hyperparameters, JobSubmission
from regraft.contract.resources import Job
from tests.regraft import examples
from tests.regraft.standin import Standin


def test_a_job_is_followed_to_its_end(client: Client, service: Standin) -> None:
    """What the whole service is for."""
    seen: list[str] = []
    job = client.jobs.submit(dataset=new_id("ds"), name="autumn")
    done = client.jobs.wait(job.id, on_update=lambda it: seen.append(it.status.value))
    assert seen == ["queued", "running", "succeeded"]
    assert done.model == service.model.id
    assert done.metrics is not None
    assert done.metrics.test is not None
    assert done.metrics.test.accuracy == 0.91


def test_only_what_was_set_is_sent(client: Client, service: Standin) -> None:
    """Defaults are the service's: an old client must not pin the old ones."""
    submission = JobSubmission(dataset=new_id("ds"), hyperparameters=Hyperparameters(epochs=20))
    client.jobs.submit(submission)
    body = service.seen[0].body.decode()
    assert body == f'{{"dataset": "{submission.dataset}", "hyperparameters": {{"epochs": 20}}}}'


def test_a_submission_and_fields_are_one_too_many(client: Client) -> None:
    """One of the two would be ignored without a word."""
    with pytest.raises(InvalidInput):
        client.jobs.submit(JobSubmission(dataset=new_id("ds")), name="x")


def test_ones_own_key_makes_one_job(client: Client, service: Standin) -> None:
    """A script that is started twice in one night must not train twice."""
    dataset = new_id("ds")
    first = client.jobs.submit(dataset=dataset, idempotency_key="nightly-2026-11-24")
    assert client.jobs.submit(dataset=dataset, idempotency_key="nightly-2026-11-24").id == first.id
    assert len(service.jobs) == 1


@pytest.mark.parametrize("key", ["", "ä", "a\nb", "x" * 256])
def test_a_key_that_no_header_carries_is_refused(client: Client, key: str) -> None:
    """It would end as a codec error deep in a library, or as a header of the caller's making."""
    with pytest.raises(InvalidInput):
        client.jobs._transport.post("/v1/jobs", Job, {}, key)


def test_a_failed_job_is_an_error_with_a_remedy(client: Client, service: Standin) -> None:
    """A script would go on to download a model that is not there."""
    error = JobError.of(ErrorCode.OUT_OF_MEMORY, "batch 1 does not fit")
    failed = examples.job(
        JobSubmission(dataset=new_id("ds")), "failed", error=error.model_dump(by_alias=True)
    )
    service.jobs[failed.id] = deque([failed])
    with pytest.raises(JobFailed, match="batch 1 does not fit") as caught:
        client.jobs.wait(failed.id)
    assert caught.value.job.error == error


def test_a_cancelled_job_ends_the_wait(client: Client) -> None:
    """Waiting for a job that somebody cancelled would never end."""
    job = client.jobs.submit(dataset=new_id("ds"))
    assert client.jobs.cancel(job.id).status.value == "cancelled"
    with pytest.raises(JobFailed, match="cancelled"):
        client.jobs.wait(job.id)


def test_events_and_metrics(client: Client, service: Standin) -> None:
    """Why a job went wrong is in its history."""
    job = client.jobs.submit(dataset=new_id("ds"))
    service.events = [examples.event(str(number)) for number in range(5)]
    assert [one.message for one in client.jobs.events(job.id, page_size=2)] == list("01234")
    assert client.jobs.metrics(job.id).series["loss"][0].value == 0.5


def test_a_newer_services_job_is_read(client: Client, service: Standin) -> None:
    """One job with a strategy of next year would break the list of all jobs."""
    job = examples.job(JobSubmission(dataset=new_id("ds")))
    newer = job.model_dump(mode="json")
    newer["spec"] |= {"source_dataset": "ds_1", "strategy": {"type": "l2_sp", "alpha": 0.1}}
    newer["spec"]["base"] = {"backbone": "vit_next", "revision": 2}
    service.jobs[job.id] = deque([Job.model_validate(newer)])
    read = client.jobs.get(job.id)
    assert read.spec.strategy.model_dump() == {"type": "l2_sp", "alpha": 0.1}
    assert read.spec.base.backbone == "vit_next"


def test_jobs_are_filtered(client: Client, service: Standin) -> None:
    """Of last year's jobs the user wants the one that runs."""
    job = client.jobs.submit(dataset=new_id("ds"))
    assert list(client.jobs.list(status="failed")) == []
    assert [one.id for one in client.jobs.list(status="queued", dataset="ds_x")] == [job.id]
