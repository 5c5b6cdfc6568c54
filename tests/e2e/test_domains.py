"""From drawings to photos through every real part, and on from the model that came of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from deploy.stack import Stack
from regraft.client import Client, NotFoundError, ValidationFailed
from regraft.contract.resources import Job

SAMPLES = Path(__file__).parents[2] / "samples" / "objects"
CLASSES = ("bird", "fruit")
# Without an ONNX file there is no graph to export, which takes longer than these trainings.
QUICK: dict[str, Any] = {"exports": [], "guard": "off"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole service."""
    # Steps this small take longer the more threads share them.
    environment = {"REGRAFT_TRAINER_THREADS": "1"}
    with Stack(tmp_path_factory.mktemp("stack"), environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    """A merchant's client."""
    with Client(stack.url, stack.create_merchant("Acme Toys").key) as opened:
        yield opened


def _pushed(client: Client, part: str, classes: tuple[str, ...], folder: Path) -> str:
    """Upload four pictures of each of these classes, and return the dataset once it is ready."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for path in sorted((SAMPLES / part / name).iterdir())[:4]:
            shutil.copy(path, folder / name)
    return client.datasets.wait(client.datasets.push(folder, part).id).id


@pytest.fixture(scope="module")
def adapted(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that learned drawings first and then photos, and has succeeded."""
    folder = tmp_path_factory.mktemp("pictures")
    drawings = _pushed(client, "source", CLASSES, folder / "drawings")
    photos = _pushed(client, "target", CLASSES, folder / "photos")
    job = client.jobs.submit(dataset=photos, source_dataset=drawings, **QUICK)
    return client.jobs.wait(job.id, timeout=600)


def _weights(client: Client, job: Job, folder: Path) -> dict[str, Tensor]:
    path = client.models.download(str(job.model), "model.safetensors", folder / f"{job.id}.st")
    return load_file(path)


def test_the_source_is_learned_before_the_dataset(client: Client, adapted: Job) -> None:
    """A merchant with labelled drawings and few photos would train on the photos alone."""
    assert adapted.spec.source_dataset is not None
    assert adapted.transfer is not None
    assert "first trained on 8 images of 2 classes" in str(adapted.transfer.explanation)
    assert len(client.jobs.metrics(adapted.id).series["source_train_loss"]) > 1
    lineage = client.models.get(str(adapted.model)).lineage
    assert lineage["source_dataset"] == adapted.spec.source_dataset
    assert lineage["source_trained_fingerprint"] != lineage["weights_fingerprint"]


def test_a_job_goes_on_from_the_model(client: Client, adapted: Job, tmp_path: Path) -> None:
    """What a merchant's first job has learned would be lost to the second."""
    base = {"model": adapted.model}
    job = client.jobs.submit(dataset=adapted.spec.dataset, base=base, **QUICK)
    done = client.jobs.wait(job.id, timeout=600)
    assert done.spec.base.model == adapted.model
    lineage = client.models.get(str(done.model)).lineage
    before = client.models.get(str(adapted.model)).lineage
    assert lineage["base_model"] == adapted.model
    assert lineage["weights_fingerprint"] == before["source_trained_fingerprint"]
    first, second = (_weights(client, one, tmp_path) for one in (adapted, done))
    assert first.keys() == second.keys()
    # The same backbone and the same photos make the same head.
    assert all(torch.equal(first[name], value) for name, value in second.items())


def test_what_is_another_merchants_is_not_found(stack: Stack, adapted: Job, tmp_path: Path) -> None:
    """Another shop's drawings and models are its trade secrets."""
    with Client(stack.url, stack.create_merchant("Zenith").key) as other:
        own = _pushed(other, "target", CLASSES, tmp_path / "photos")
        for fields in (
            {"source_dataset": adapted.spec.source_dataset},
            {"base": {"model": adapted.model}},
        ):
            with pytest.raises(NotFoundError):
                other.jobs.submit(dataset=own, **fields)


def test_labels_that_do_not_meet_are_told_at_once(
    client: Client, adapted: Job, tmp_path: Path
) -> None:
    """A merchant would wait for a worker only to be told there."""
    apart = _pushed(client, "source", ("flower", "vehicle"), tmp_path / "apart")
    with pytest.raises(ValidationFailed) as caught:
        client.jobs.submit(
            dataset=adapted.spec.dataset, source_dataset=apart, strategy={"type": "dann"}
        )
    assert (caught.value.code, caught.value.param) == ("label_spaces_disjoint", "source_dataset")
