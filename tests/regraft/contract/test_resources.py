"""Resources as both sides read them: nothing is lost, and newer fields do no harm."""

import math
from typing import Any

import pytest
from pydantic import BaseModel

from regraft.contract.ids import new_id
from regraft.contract.job import JobSubmission
from regraft.contract.resources import Dataset, Image, Job, JobEvent, Model, Page
from regraft.contract.status import TERMINAL, JobStatus, RequestedAction, ShownStatus, shown
from regraft.contract.verdict import KEPT, Verdict
from tests.regraft import examples

SUBMISSION = JobSubmission(dataset=new_id("ds"))
INSTANCES: list[BaseModel] = [
    examples.dataset(),
    examples.image(Verdict.CORRUPT),
    examples.event("hello"),
    examples.model({"a": b"x"}),
    *examples.course(examples.job(SUBMISSION), new_id("md")),
]


def newer(value: Any) -> Any:
    """Return JSON in which every object has one more field."""
    if isinstance(value, dict):
        return {**{name: newer(inner) for name, inner in value.items()}, "of_next_year": {"x": 1}}
    return [newer(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("instance", INSTANCES, ids=lambda it: type(it).__name__)
def test_a_resource_survives_the_wire(instance: BaseModel) -> None:
    """The client would show something else than the service knows."""
    text = instance.model_dump_json(by_alias=True)
    assert type(instance).model_validate_json(text) == instance


@pytest.mark.parametrize("kind", [Dataset, Image, JobEvent, Model])
def test_newer_fields_do_no_harm(kind: type[BaseModel]) -> None:
    """The contract promises that fields may be added within v1."""
    (instance,) = (one for one in INSTANCES if isinstance(one, kind))
    free: dict[str, Any] = {"metadata": {}, "lineage": {}, "data": {}}
    grown = newer(instance.model_dump(mode="json", by_alias=True))
    assert kind.model_validate(grown | {k: v for k, v in free.items() if k in grown}) == instance


def test_a_newer_job_is_read_and_kept() -> None:
    """An installed client would fail on the first job of an upgraded service."""
    done = examples.course(examples.job(SUBMISSION), new_id("md"))[-1]
    grown = newer(done.model_dump(mode="json", by_alias=True)) | {"metadata": {}}
    read = Job.model_validate(grown)
    assert read.metrics == done.metrics
    assert read.spec.dataset == SUBMISSION.dataset
    assert read.spec.model_dump()["of_next_year"] == {"x": 1}


def test_a_number_that_json_lacks_becomes_null() -> None:
    """`NaN` in an answer breaks every strict reader."""
    metrics = examples.metrics().model_copy(update={"ece": math.nan})
    assert '"ece":null' in metrics.model_dump_json()


def test_a_page_is_of_one_kind() -> None:
    """A list of jobs must not be read as a list of models."""
    page = Page[Dataset](data=[examples.dataset()], has_more=False, next_cursor=None)
    assert Page[Dataset].model_validate_json(page.model_dump_json()) == page
    with pytest.raises(ValueError, match="validation errors"):
        Page[Job].model_validate_json(page.model_dump_json())


def test_only_a_running_job_shows_a_wish() -> None:
    """A job that is over would be shown as `cancelling` for ever."""
    for status in JobStatus:
        for wish in RequestedAction:
            now = shown(status, wish)
            assert (now.value == status.value) == (status is not JobStatus.RUNNING)
    assert shown(JobStatus.RUNNING, RequestedAction.CANCEL) is ShownStatus.CANCELLING
    assert shown(JobStatus.RUNNING, None) is ShownStatus.RUNNING
    assert {"queued", "running", "paused"} == {it.value for it in set(JobStatus) - TERMINAL}


def test_only_ok_keeps_an_image() -> None:
    """A corrupt photo would be learnt from."""
    assert {verdict for verdict in Verdict if verdict.value.startswith("ok")} == KEPT
