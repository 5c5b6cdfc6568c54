"""A job over HTTP for each strategy that learns otherwise than a linear probe: real parts alone."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from deploy.stack import Stack
from regraft.client import Client
from regraft.contract.catalog import STRATEGIES
from regraft.contract.job import JobSubmission
from regraft.contract.strategies import FineTuning

OBJECTS = Path(__file__).parents[2] / "samples" / "objects"
LABELS = ("bird", "fruit")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A merchant's client of the whole service."""
    # Steps this small take longer the more threads share them.
    environment = {"REGRAFT_TRAINER_THREADS": "1"}
    with Stack(tmp_path_factory.mktemp("stack"), environment=environment) as running:
        account = running.create_merchant("Acme Shoes")
        with Client(running.url, account.key) as opened:
            yield opened


def _pushed(client: Client, part: str, labels: Sequence[str], folder: Path) -> str:
    """Push four pictures of each label, and return the id of the ready dataset."""
    for label in labels:
        (folder / part / label).mkdir(parents=True)
        for path in sorted((OBJECTS / part / label).iterdir())[:4]:
            shutil.copy(path, folder / part / label)
    return client.datasets.wait(client.datasets.push(folder / part, part).id).id


@pytest.fixture(scope="module")
def target(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    return _pushed(client, "target", LABELS, tmp_path_factory.mktemp("target"))


@pytest.fixture(scope="module")
def source(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    return _pushed(client, "source", (*LABELS, "tool"), tmp_path_factory.mktemp("source"))


WITH_TEST_OF_ITS_OWN = {"linear_probe", "auto"}


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - WITH_TEST_OF_ITS_OWN))
def test_a_job_of_each_strategy_ends_in_a_model(
    client: Client, target: str, source: str, name: str
) -> None:
    """The catalogue would list what no job can do."""
    fields: dict[str, Any] = {"dataset": target, "strategy": {"type": name}}
    options = JobSubmission.model_validate({**fields, "source_dataset": source}).strategy
    if options.needs_source:
        fields["source_dataset"] = source
    if isinstance(options, FineTuning):
        fields |= {"hyperparameters": {"epochs": 1, "batch_size": 4}, "exports": []}
    submitted = client.jobs.submit(**fields)
    job = client.jobs.wait(submitted.id, timeout=180)
    assert job.error is None
    assert job.status == "succeeded"
    assert job.spec.strategy.type == name
    assert job.transfer is not None
    assert name in {one.strategy for one in job.transfer.candidates}


def test_auto_tells_what_it_compared(client: Client, target: str, source: str) -> None:
    """Nobody would trust a choice whose alternatives are not shown."""
    submitted = client.jobs.submit(
        dataset=target, source_dataset=source, strategy={"type": "auto"}, exports=[]
    )
    job = client.jobs.wait(submitted.id, timeout=180)
    assert job.error is None
    assert job.transfer is not None
    tried = {one.strategy for one in job.transfer.candidates}
    assert {"linear_probe", "prototype", "instance_weighting"} <= tried
    assert sum(one.chosen for one in job.transfer.candidates) == 1
    assert all(one.reason for one in job.transfer.candidates)
    assert job.transfer.guard is not None
    assert job.transfer.explanation
