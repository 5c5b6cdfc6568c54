"""Jobs as a merchant sees them: submitted whole, cancelled fairly, listed in order."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import update

from core.refusals import ConflictError, NotFoundError
from db.blobs import SqlBlobStore
from db.models import Dataset, Job
from db.repositories import datasets, jobs
from db.repositories.datasets import NewDataset
from db.repositories.jobs import Filter
from db.repositories.reading import Window
from db.session import Database
from regraft.contract.errors import ErrorCode
from regraft.contract.job import DATASETS, JobSubmission
from regraft.contract.status import JobStatus, ShownStatus
from tests.support.merchants import Merchant

ALL = Window(100, None)


def _dataset(database: Database, merchant: Merchant, status: str = "ready") -> str:
    container = SqlBlobStore(database).put_bytes(merchant.tenant_id, b"a container")
    with database.write() as session:
        new = NewDataset("set", container, {})
        row = datasets.create(session, merchant.tenant_id, new)
        row.status = status
    return row.id


def _submit(database: Database, merchant: Merchant, dataset: str, **given: Any) -> str:
    submission = JobSubmission.model_validate({"dataset": dataset, **given})
    with database.write() as session:
        return jobs.submit(session, merchant.tenant_id, submission, "cpu").job.id


def _set(database: Database, job_id: str, **values: object) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def _cancel(database: Database, merchant: Merchant, job_id: str) -> jobs.Overview:
    with database.write() as session:
        return jobs.cancel(session, merchant.tenant_id, job_id)


def _told(database: Database, merchant: Merchant, job_id: str) -> list[tuple[str, object]]:
    with database.read() as session:
        events = jobs.history(session, merchant.tenant_id, job_id, ALL).rows
    return [(event.type, event.data.get("to")) for event in events]


def test_a_job_starts_queued_with_its_history(database: Database, acme: Merchant) -> None:
    """Control would not find the job, or the merchant would see no sign of it."""
    dataset = _dataset(database, acme)
    job_id = _submit(database, acme, dataset, name="Home Goods", metadata={"a": "b"})
    with database.read() as session:
        found = jobs.show(session, acme.tenant_id, job_id)
    assert (found.job.status, found.job.kind, found.job.device_class) == ("queued", "train", "cpu")
    assert (found.job.register_as, found.job.user_metadata) == ("home-goods", {"a": "b"})
    assert found.job.spec["dataset"] == found.job.dataset_id == dataset
    assert "name" not in found.job.spec
    assert _told(database, acme, job_id) == [("status", "queued")]


@pytest.mark.parametrize("param", DATASETS)
def test_datasets_that_a_job_may_not_use(
    database: Database, acme: Merchant, zenith: Merchant, param: str
) -> None:
    """A job would train on another merchant's photos, or on half of a set."""
    good = _dataset(database, acme)
    others = _dataset(database, zenith)
    source = _dataset(database, acme)
    named: dict[str, Any] = {"dataset": good, "source_dataset": source, "strategy": {"type": "mmd"}}
    with pytest.raises(NotFoundError) as missing:
        _submit(database, acme, **{**named, param: others})
    assert missing.value.param == param
    for status in ("processing", "invalid"):
        early = _dataset(database, acme, status)
        with pytest.raises(ConflictError) as caught:
            _submit(database, acme, **{**named, param: early})
        assert (caught.value.code, caught.value.param) == (ErrorCode.DATASET_NOT_READY, param)
    with database.read() as session:
        assert jobs.listed(session, acme.tenant_id, Filter(), ALL).rows == []


def test_cancelling_a_queued_job_ends_it(database: Database, acme: Merchant) -> None:
    """A job that nobody wants would still take its turn."""
    job_id = _submit(database, acme, _dataset(database, acme))
    cancelled = _cancel(database, acme, job_id).job
    assert (cancelled.status, cancelled.finished_at is None) == ("cancelled", False)
    assert _told(database, acme, job_id) == [("status", "queued"), ("status", "cancelled")]


def test_cancelling_a_running_job_leaves_a_wish(database: Database, acme: Merchant) -> None:
    """A job cancelled under its worker would be finished by that worker all the same."""
    job_id = _submit(database, acme, _dataset(database, acme))
    _set(database, job_id, status="running", fence=3)
    for _ in range(2):
        asked = _cancel(database, acme, job_id).job
        assert (asked.status, asked.requested_action) == ("running", "cancel")
    assert _told(database, acme, job_id) == [("status", "queued"), ("message", None)]
    _set(database, job_id, requested_action="stop")
    assert _cancel(database, acme, job_id).job.requested_action == "cancel"


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_an_ended_job_cannot_be_cancelled(database: Database, acme: Merchant, status: str) -> None:
    """A finished model would vanish by a late click."""
    job_id = _submit(database, acme, _dataset(database, acme))
    _set(database, job_id, status=status)
    with pytest.raises(ConflictError, match=status):
        _cancel(database, acme, job_id)
    assert len(_told(database, acme, job_id)) == 1


STEERED: list[tuple[str, str | None, str, str, str | None]] = [
    ("queued", None, "pause", "paused", None),
    ("paused", None, "pause", "paused", None),
    ("paused", None, "resume", "queued", None),
    ("paused", None, "cancel", "cancelled", None),
    ("running", None, "pause", "running", "pause"),
    ("running", "pause", "pause", "running", "pause"),
    ("running", None, "stop", "running", "stop"),
    ("running", "pause", "cancel", "running", "cancel"),
]


@pytest.mark.parametrize(("status", "wish", "verb", "then", "wished"), STEERED)
def test_what_may_be_asked(  # noqa: PLR0917 -- one row of the table
    database: Database,
    acme: Merchant,
    status: str,
    wish: str | None,
    verb: str,
    then: str,
    wished: str | None,
) -> None:
    """A merchant could not free the devices for what is urgent, and go on later."""
    job_id = _submit(database, acme, _dataset(database, acme))
    _set(database, job_id, status=status, requested_action=wish)
    with database.write() as session:
        row = getattr(jobs, verb)(session, acme.tenant_id, job_id).job
    assert (row.status, row.requested_action) == (then, wished)
    told = _told(database, acme, job_id)[1:]
    moved = (status, wish) != (then, wished)
    assert told == ([("status", then) if then != status else ("message", None)] if moved else [])
    assert (row.finished_at is not None) == (then == "cancelled")


REFUSED: list[tuple[str, str | None, str, str]] = [
    ("queued", None, "stop", "is queued"),
    ("queued", None, "resume", "is queued"),
    ("running", None, "resume", "is running"),
    ("running", "pause", "resume", "is pausing"),
    ("running", "pause", "stop", "is pausing"),
    ("running", "stop", "pause", "is stopping"),
    ("running", "cancel", "pause", "is cancelling"),
    ("paused", None, "stop", "is paused"),
    *(("succeeded", None, verb, "is succeeded") for verb in ("pause", "resume", "stop")),
]


@pytest.mark.parametrize(("status", "wish", "verb", "message"), REFUSED)
def test_what_may_not_be_asked(  # noqa: PLR0917 -- one row of the table
    database: Database, acme: Merchant, status: str, wish: str | None, verb: str, message: str
) -> None:
    """A job would end in a status that nobody asked for, or come back from the dead."""
    job_id = _submit(database, acme, _dataset(database, acme))
    _set(database, job_id, status=status, requested_action=wish)
    with database.write() as session, pytest.raises(ConflictError, match=message):
        getattr(jobs, verb)(session, acme.tenant_id, job_id)
    assert len(_told(database, acme, job_id)) == 1


def test_two_cancels_at_once_tell_once(database: Database, acme: Merchant) -> None:
    """A job's history would show it cancelled twice."""
    job_id = _submit(database, acme, _dataset(database, acme))
    with ThreadPoolExecutor(1) as pool:
        with database.write() as session:
            jobs.cancel(session, acme.tenant_id, job_id)
            # The second reads `queued`, as the first has not committed, and waits for its row.
            second = pool.submit(_cancel, database, acme, job_id)
            time.sleep(0.3)
        with pytest.raises(ConflictError):
            second.result(10)
    assert _told(database, acme, job_id) == [("status", "queued"), ("status", "cancelled")]


def test_filters_and_pages(database: Database, acme: Merchant, zenith: Merchant) -> None:
    """A list would show other merchants' jobs, ingest jobs, or the wrong ones."""
    one, two = _dataset(database, acme), _dataset(database, acme)
    mine = [_submit(database, acme, dataset) for dataset in (one, two, one)]
    _submit(database, zenith, _dataset(database, zenith))
    _set(database, mine[0], status="running", requested_action="cancel")
    _set(database, mine[1], status="running")

    def found(**wanted: Any) -> list[str]:
        with database.read() as session:
            page = jobs.listed(session, acme.tenant_id, Filter(**wanted), ALL)
        return [row.job.id for row in page.rows]

    assert found() == mine[::-1]
    assert found(dataset=one) == [mine[2], mine[0]]
    assert found(status=ShownStatus.CANCELLING) == [mine[0]]
    assert found(status=ShownStatus.RUNNING) == [mine[1]]
    assert found(status=ShownStatus.QUEUED, dataset=two) == []


def test_an_ingest_job_is_no_job_of_the_merchants(database: Database, acme: Merchant) -> None:
    """A merchant would see, and could cancel, the service's own housekeeping."""
    dataset = _dataset(database, acme)
    with database.read() as session:
        row = session.query(Job).where(Job.dataset_id == dataset).one()
        assert (row.kind, row.device_class, row.status) == ("ingest", "ingest", JobStatus.QUEUED)
        with pytest.raises(NotFoundError):
            jobs.show(session, acme.tenant_id, row.id)
        assert session.get_one(Dataset, dataset).tenant_id == acme.tenant_id
