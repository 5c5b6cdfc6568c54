"""An evaluation is a job like any other; what it leaves is figures, never a model."""

from collections.abc import Callable

import pytest
from sqlalchemy import func, select, update

from core.refusals import ConflictError, NotFoundError, RefusedError
from db.models import Dataset, FileSegment, Job, JobEvent, Model, ModelFile
from db.repositories import erasures, jobs, models
from db.repositories.audit import OPERATOR
from db.repositories.reading import Window
from db.repositories.submissions import WEIGHTS_FILE
from db.session import Database
from regraft.contract.erasure import ErasureRequest
from regraft.contract.errors import ErrorCode
from regraft.contract.registry import Evaluate
from regraft.contract.status import JobStatus
from tests.support.jobs import history, job, ready_dataset, submit
from tests.support.merchants import Merchant
from worker.station import Station
from worker.supervisor.supervise import supervise

Measure = Callable[..., str]


@pytest.fixture
def model(database: Database, station: Station, acme: Merchant, dataset: str) -> str:
    """A model of mugs and plates, made by a job, with the files that measuring reads."""
    job_id = submit(database, acme.tenant_id, dataset)
    supervise(station, job_id)
    with database.write() as session:
        model_id = session.scalars(select(Model.id).where(Model.job_id == job_id)).one()
        # The light trainer makes one file: here it stands for the weights.
        session.execute(update(ModelFile).values(name=WEIGHTS_FILE))
        session.execute(update(FileSegment).values(file_name=WEIGHTS_FILE))
    return str(model_id)


@pytest.fixture
def measure(database: Database, acme: Merchant, model: str) -> Measure:
    """A function that asks for the model to be measured on a dataset."""

    def asked(dataset_id: str, reference: str = model) -> str:
        wanted = Evaluate(dataset=dataset_id)
        with database.write() as session:
            found = jobs.evaluate(session, acme.tenant_id, reference, wanted, "cpu")
            return str(found.job.id)

    return asked


def test_figures_are_kept_with_the_model(
    database: Database,
    station: Station,
    acme: Merchant,
    model: str,
    measure: Measure,
) -> None:
    """What was measured last month could not be found, or was a second model."""
    other = ready_dataset(database, acme.tenant_id, 4)
    job_id = measure(other)
    supervise(station, job_id)
    assert job(database, job_id).error is None
    assert history(database, job_id)[-1] == ("running", "succeeded")
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Model)) == 1
        page = jobs.evaluations(session, acme.tenant_id, model, Window(20, None))
        (found,) = page.rows
        assert (found.job.id, found.job.dataset_id) == (job_id, other)
        assert found.result is not None
        assert found.result.model_id is None
        assert found.result.metrics is not None
        assert "unknown_labels" in found.result.metrics
        assert jobs.show(session, acme.tenant_id, job_id).job.id == job_id


def test_another_merchants_model_is_not_measured(
    database: Database, acme: Merchant, zenith: Merchant, model: str, measure: Measure
) -> None:
    """A competitor would learn how good a model is."""
    job_id = measure(ready_dataset(database, acme.tenant_id, 4))
    with database.read() as session:
        with pytest.raises(NotFoundError):
            jobs.show(session, zenith.tenant_id, job_id)
        with pytest.raises(NotFoundError):
            jobs.evaluations(session, zenith.tenant_id, model, Window(20, None))
    wanted = Evaluate(dataset=ready_dataset(database, zenith.tenant_id))
    with database.write() as session, pytest.raises(NotFoundError):
        jobs.evaluate(session, zenith.tenant_id, model, wanted, "cpu")


def test_what_cannot_be_measured_is_told_at_once(
    database: Database, acme: Merchant, measure: Measure
) -> None:
    """The merchant would wait for a worker only to be told there."""
    apart = ready_dataset(database, acme.tenant_id, labels=("pot", "pan"))
    with pytest.raises(RefusedError) as caught:
        measure(apart)
    expected = (ErrorCode.LABEL_SPACES_DISJOINT, "dataset")
    assert (caught.value.code, caught.value.param) == expected
    with database.write() as session:
        session.execute(update(Dataset).where(Dataset.id == apart).values(status="processing"))
    with pytest.raises(ConflictError):
        measure(apart)


def test_images_that_it_learned_from_are_warned_of(
    database: Database, dataset: str, measure: Measure
) -> None:
    """A model would be praised for what it knows by heart."""
    job_id = measure(dataset)
    query = select(JobEvent.message).where(JobEvent.job_id == job_id, JobEvent.level == "warn")
    with database.read() as session:
        (message,) = session.scalars(query).all()
    assert message.startswith("2 of the images")


def test_it_is_run_again_and_holds_what_it_needs(
    database: Database, station: Station, acme: Merchant, model: str, measure: Measure
) -> None:
    """A model or a dataset would vanish under the job that measures."""
    other = ready_dataset(database, acme.tenant_id, 4)
    job_id = measure(other)
    with database.write() as session, pytest.raises(ConflictError, match=job_id):
        models.remove(session, acme.tenant_id, model, OPERATOR)
    with database.write() as session, pytest.raises(ConflictError, match=job_id):
        erasures.request(session, acme.tenant_id, ErasureRequest(dataset=other), OPERATOR)
    with database.write() as session:
        assert jobs.cancel(session, acme.tenant_id, job_id).job.status == JobStatus.CANCELLED
    with database.write() as session:
        again = jobs.retry(session, acme.tenant_id, job_id, "cpu").job
        assert (again.kind, again.dataset_id) == ("evaluate", other)
        again_id = again.id
    supervise(station, again_id)
    assert job(database, again_id).status == JobStatus.SUCCEEDED
    with database.read() as session:
        kinds = session.scalars(select(Job.kind).where(Job.id.in_([job_id, again_id]))).all()
    assert kinds == ["evaluate", "evaluate"]
