"""Labels are added to a model of one's own that does not know them; nothing is lost meanwhile."""

from typing import Any

import pytest
from sqlalchemy import update

from core.refusals import ConflictError, NotFoundError, RefusedError
from db.models import Dataset, Job, Model, ModelFile
from db.repositories import erasures, jobs
from db.repositories.audit import OPERATOR
from db.repositories.submissions import learned_from
from db.session import Database
from regraft.contract.erasure import ErasureRequest
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from regraft.contract.job import JobSubmission
from regraft.contract.registry import NewClasses
from tests.support.jobs import ready_dataset, submit
from tests.support.merchants import Merchant


def _model(database: Database, merchant: Merchant, job_id: str, version: int = 1) -> str:
    """Leave what a job has made: a model of mugs and plates with its weights."""
    model_id, owner = new_id("md"), {"tenant_id": merchant.tenant_id}
    facts: dict[str, Any] = {"metrics": {}, "transfer": {}, "lineage": {}, "strategy": "l2_sp"}
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(status="succeeded"))
        labels, backbone = ["mug", "plate"], "resnet18"
        made = {"id": model_id, "name": "home", "version": version, "job_id": job_id}
        session.add(Model(**owner, **made, **facts, labels=labels, backbone=backbone))
        session.flush()
        weights = {"name": "model.safetensors", "size": 1, "sha256": "0" * 64}
        session.add(ModelFile(**owner, model_id=model_id, **weights))
    return model_id


@pytest.fixture
def dataset(database: Database, acme: Merchant) -> str:
    return ready_dataset(database, acme.tenant_id)


@pytest.fixture
def model(database: Database, acme: Merchant, dataset: str) -> str:
    return _model(database, acme, submit(database, acme.tenant_id, dataset))


def _counted(database: Database, merchant: Merchant, unlabelled: int = 0, **counts: int) -> str:
    """Leave a ready dataset with so many images of each label."""
    dataset_id = ready_dataset(database, merchant.tenant_id, 2, tuple(counts))
    classes = [{"name": name, "num_images": count} for name, count in counts.items()]
    with database.write() as session:
        change = update(Dataset).where(Dataset.id == dataset_id)
        session.execute(change.values(classes=classes, num_unlabelled=unlabelled))
    return dataset_id


def _extend(database: Database, merchant: Merchant, reference: str, **given: Any) -> Job:
    wanted = NewClasses.model_validate(given)
    with database.write() as session:
        return jobs.extend(session, merchant.tenant_id, reference, wanted, "cpu").job


def test_the_job_makes_the_next_version_of_the_same_name(
    database: Database, acme: Merchant, zenith: Merchant, model: str
) -> None:
    """The merchant would have to know which name and which start the job needs."""
    teapots = _counted(database, acme, unlabelled=6)
    job = _extend(database, acme, "home:1", dataset=teapots, label="teapot")
    assert (job.register_as, job.dataset_id) == ("home", teapots)
    assert job.spec["base"] == {"model": model}
    assert job.spec["strategy"] == {"type": "prototype", "extends": True, "label": "teapot"}
    assert job.spec["guard"] == "on"
    theirs = _counted(database, zenith, teapot=6)
    with pytest.raises(NotFoundError):
        _extend(database, zenith, model, dataset=theirs)


@pytest.mark.parametrize(
    "case",
    [
        ({"mug": 9}, None, ErrorCode.LABEL_EXISTS, "dataset"),
        ({"mug": 9}, "mug", ErrorCode.LABEL_EXISTS, "label"),
        ({"mug": 9, "pot": 4}, None, ErrorCode.TOO_FEW_IMAGES, "dataset"),
        ({"mug": 9, "pot": 7}, "pan", ErrorCode.TOO_FEW_IMAGES, "dataset"),
        ({"unlabelled": 4}, "pan", ErrorCode.TOO_FEW_IMAGES, "dataset"),
        ({"unlabelled": 9}, None, ErrorCode.LABEL_EXISTS, "dataset"),
    ],
)
def test_what_cannot_be_added_is_told_at_once(
    database: Database,
    acme: Merchant,
    model: str,
    case: tuple[dict[str, int], str | None, ErrorCode, str],
) -> None:
    """The merchant would wait for a worker only to be told there."""
    counts, label, code, param = case
    dataset = _counted(database, acme, **counts)
    with pytest.raises(RefusedError) as caught:
        _extend(database, acme, model, dataset=dataset, label=label)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_model_learned_from_what_it_extends_learned_from(
    database: Database, acme: Merchant, dataset: str, model: str
) -> None:
    """After a second addition the first labels would have nothing left to be measured on."""
    pots, pans = _counted(database, acme, pot=5), _counted(database, acme, pan=5)
    second = _model(database, acme, _extend(database, acme, model, dataset=pots).id, 2)
    third = _model(database, acme, _extend(database, acme, second, dataset=pans).id, 3)
    with database.write() as session:
        assert learned_from(session, acme.tenant_id, third) == sorted([dataset, pots, pans])
        session.execute(update(Dataset).where(Dataset.id == pots).values(deleted_at=1.0))
        assert learned_from(session, acme.tenant_id, third) == sorted([dataset, pans])


def test_the_test_of_the_model_is_the_test_of_the_new_one(
    database: Database, acme: Merchant, dataset: str
) -> None:
    """Two versions could not be compared on the same images."""
    test = _counted(database, acme, mug=3, plate=3)
    with database.write() as session:
        body = JobSubmission(dataset=dataset, test_dataset=test)
        trained = jobs.submit(session, acme.tenant_id, body, "cpu").job.id
    model = _model(database, acme, trained)
    pots = _counted(database, acme, pot=5)
    assert _extend(database, acme, model, dataset=pots).spec["test_dataset"] == test
    mixed = _counted(database, acme, mug=5, pot=5)
    named = _extend(database, acme, model, dataset=pots, test_dataset=mixed)
    assert named.spec["test_dataset"] == mixed
    with database.write() as session:
        session.execute(update(Dataset).where(Dataset.id == test).values(deleted_at=1.0))
    assert _extend(database, acme, model, dataset=pots).spec["test_dataset"] is None


def test_what_an_extension_reads_is_not_erased_under_it(
    database: Database, acme: Merchant, dataset: str, model: str
) -> None:
    """Images would be copied to a worker while they are being erased."""
    job = _extend(database, acme, model, dataset=_counted(database, acme, pot=5))
    wanted = ErasureRequest(dataset=dataset)
    with database.write() as session, pytest.raises(ConflictError, match=job.id):
        erasures.request(session, acme.tenant_id, wanted, OPERATOR)
    with database.write() as session:
        jobs.cancel(session, acme.tenant_id, job.id)
    with database.write() as session:
        assert erasures.preview(session, acme.tenant_id, wanted).blockers == []
