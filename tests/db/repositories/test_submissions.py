"""What a job names is judged at once: datasets, their labels, and the model it starts from."""

from typing import Any

import pytest
from sqlalchemy import update

from core.refusals import ConflictError, NotFoundError, RefusedError
from db.models import Job, Model, ModelFile
from db.repositories import jobs, models
from db.repositories.audit import OPERATOR
from db.repositories.submissions import check
from db.session import Database
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from regraft.contract.job import JobSubmission
from tests.support.jobs import ready_dataset, submit
from tests.support.merchants import Merchant

TARGET = ("mug", "plate")
USES_ANY = ["linear_probe", "prototype", "l2_sp", "lp_ft", "full_finetune", "coral", "mmd"]


def _check(database: Database, merchant: Merchant, **given: Any) -> list[str]:
    submission = JobSubmission.model_validate(given)
    with database.read() as session:
        return check(session, merchant.tenant_id, submission)


def _refused(database: Database, merchant: Merchant, **given: Any) -> tuple[ErrorCode, str | None]:
    with pytest.raises(RefusedError) as caught:
        _check(database, merchant, **given)
    return caught.value.code, caught.value.param


def _model(
    database: Database,
    merchant: Merchant,
    file: str = "model.safetensors",
    backbone: str = "resnet18",
) -> str:
    """Leave a finished model with one file."""
    dataset = ready_dataset(database, merchant.tenant_id)
    job_id = submit(database, merchant.tenant_id, dataset)
    model_id, owner = new_id("md"), {"tenant_id": merchant.tenant_id}
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(status="succeeded"))
        session.add(
            Model(
                **owner,
                id=model_id,
                name=model_id[-8:],
                version=1,
                job_id=job_id,
                backbone=backbone,
                strategy="l2_sp",
                labels=["mug", "plate"],
                metrics={},
                transfer={},
                lineage={},
            )
        )
        session.flush()
        session.add(ModelFile(**owner, model_id=model_id, name=file, size=1, sha256="0" * 64))
    return model_id


@pytest.mark.parametrize(
    ("labels", "refused", "warned"),
    [
        (TARGET, [], []),
        (("mug", "plate", "pot"), [], ["dann"]),
        (("mug", "pot"), [], ["dann"]),
        (("pot", "pan"), ["instance_weighting", "dann"], []),
    ],
)
def test_the_table_of_label_spaces(
    database: Database,
    acme: Merchant,
    labels: tuple[str, ...],
    refused: list[str],
    warned: list[str],
) -> None:
    """A job would be refused that works, or wait for a worker only to fail there."""
    target = ready_dataset(database, acme.tenant_id)
    source = ready_dataset(database, acme.tenant_id, labels=labels)
    for name in [*USES_ANY, "instance_weighting", "dann"]:
        given = {"dataset": target, "source_dataset": source, "strategy": {"type": name}}
        if name in refused:
            found = _refused(database, acme, **given)
            assert found == (ErrorCode.LABEL_SPACES_DISJOINT, "source_dataset")
        else:
            assert len(_check(database, acme, **given)) == (name in warned)


def test_a_source_has_labels(database: Database, acme: Merchant) -> None:
    """A backbone cannot be trained on images without labels, or of one class."""
    target = ready_dataset(database, acme.tenant_id)
    for labels in ((), ("mug",)):
        source = ready_dataset(database, acme.tenant_id, labels=labels)
        found = _refused(database, acme, dataset=target, source_dataset=source)
        assert found == (ErrorCode.TOO_FEW_CLASSES, "source_dataset")


def test_unlabelled_images_need_no_labels(database: Database, acme: Merchant) -> None:
    """Labels would be asked for that nobody looks at."""
    named = {
        "dataset": ready_dataset(database, acme.tenant_id),
        "source_dataset": ready_dataset(database, acme.tenant_id),
        "unlabelled_dataset": ready_dataset(database, acme.tenant_id, labels=()),
    }
    assert _check(database, acme, **named, strategy={"type": "mmd"}) == []


def test_a_model_to_start_from(database: Database, acme: Merchant, zenith: Merchant) -> None:
    """A job would start from another merchant's model, or from one that has no weights."""
    dataset = ready_dataset(database, acme.tenant_id)
    good = {"model": _model(database, acme)}
    assert _check(database, acme, dataset=dataset, base=good) == []
    layer = {"type": "l2_sp", "freeze_until": "layer1"}
    assert _check(database, acme, dataset=dataset, base=good, strategy=layer) == []
    wrong = {"type": "l2_sp", "freeze_until": "stage1"}
    found = _refused(database, acme, dataset=dataset, base=good, strategy=wrong)
    assert found == (ErrorCode.VALIDATION_FAILED, "strategy.freeze_until")
    for model, code in (
        (_model(database, zenith), ErrorCode.NOT_FOUND),
        (new_id("md"), ErrorCode.NOT_FOUND),
        (_model(database, acme, file="model.onnx"), ErrorCode.CONFLICT),
        (_model(database, acme, backbone="resnet_9000"), ErrorCode.CONFLICT),
    ):
        found = _refused(database, acme, dataset=dataset, base={"model": model})
        assert found == (code, "base.model")


def test_a_model_that_a_job_starts_from_stays(database: Database, acme: Merchant) -> None:
    """A job that waited for hours would find its starting point deleted."""
    model, dataset = _model(database, acme), ready_dataset(database, acme.tenant_id)
    submission = JobSubmission.model_validate({"dataset": dataset, "base": {"model": model}})
    with database.write() as session:
        job_id = jobs.submit(session, acme.tenant_id, submission, "cpu").job.id
    with database.write() as session, pytest.raises(ConflictError, match=job_id):
        models.remove(session, acme.tenant_id, model, OPERATOR)
    with database.write() as session:
        jobs.cancel(session, acme.tenant_id, job_id)
        models.remove(session, acme.tenant_id, model, OPERATOR)
    found = _refused(database, acme, dataset=dataset, base={"model": model})
    assert found == (ErrorCode.NOT_FOUND, "base.model")


def test_a_model_is_named_by_what_merchants_call_it(
    database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """A nightly job would need an id looked up, or start from another model when an alias moves."""
    model, dataset = _model(database, acme), ready_dataset(database, acme.tenant_id)
    with database.write() as session:
        name = models.find(session, acme.tenant_id, model).name
    for reference in (model, f"{name}:1"):
        body = {"dataset": dataset, "base": {"model": reference}}
        submission = JobSubmission.model_validate(body)
        with database.write() as session:
            job = jobs.submit(session, acme.tenant_id, submission, "cpu").job
            assert job.spec["base"] == {"model": model}
    theirs = ready_dataset(database, zenith.tenant_id)
    for merchant, own, reference in ((zenith, theirs, f"{name}:1"), (acme, dataset, f"{name}@x")):
        body = {"dataset": own, "base": {"model": reference}}
        submission = JobSubmission.model_validate(body)
        with database.write() as session, pytest.raises(NotFoundError) as caught:
            jobs.submit(session, merchant.tenant_id, submission, "cpu")
        assert caught.value.param == "base.model"
