"""The main job through every real part, on both databases, as a merchant's engineer runs it."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.stack import Account, Stack
from regraft.client import Client, ConflictError, NotFoundError
from regraft.contract.resources import Job
from tests.support.postgres import Postgres, environment_for

SAMPLES = Path(__file__).parents[2] / "samples" / "fashion-mnist"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The whole service; SQLite with the embedded Redis, or PostgreSQL."""
    home = tmp_path_factory.mktemp("stack")
    environment = {}
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        environment = environment_for(server.create_database("e2e"))
    with Stack(home, environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def acme_account(stack: Stack) -> Account:
    """The merchant whose work it is."""
    return stack.create_merchant("Acme Shoes")


@pytest.fixture(scope="module")
def client(stack: Stack, acme_account: Account) -> Iterator[Client]:
    """The merchant's client."""
    with Client(stack.url, acme_account.key) as opened:
        yield opened


@pytest.fixture(scope="module")
def dataset(client: Client) -> str:
    """A ready dataset of 120 real photos."""
    return client.datasets.wait(client.datasets.push(SAMPLES / "target", "shoes").id).id


@pytest.fixture(scope="module")
def job(client: Client, dataset: str) -> Job:
    """A job that has succeeded."""
    test = client.datasets.wait(client.datasets.push(SAMPLES / "target-test", "held out").id)
    submitted = client.jobs.submit(dataset=dataset, test_dataset=test.id, name="Shoes, autumn")
    return client.jobs.wait(submitted.id, timeout=180)


def test_the_model_is_good_on_photos_it_never_saw(job: Job) -> None:
    """A merchant would deploy a model that guesses."""
    assert job.metrics is not None
    assert job.metrics.test is not None
    assert job.metrics.test.num_images == 100
    assert job.metrics.test.accuracy > 0.85
    low, high = job.metrics.test.accuracy_interval
    assert low < job.metrics.test.accuracy < high
    counts = job.metrics.test.confusion_matrix.counts
    assert [sum(row) for row in counts] == [25, 25, 25, 25]


def test_the_history_is_whole(client: Client, job: Job) -> None:
    """A merchant who asks what happened must find every change of status, once, in order."""
    changes = [
        event.data.get("to") for event in client.jobs.events(job.id) if event.type == "status"
    ]
    assert changes == ["queued", "running", "succeeded"]
    assert client.jobs.metrics(job.id).series


def test_the_bundle_answers_alone(
    client: Client, job: Job, tmp_path: Path, bare_python: Path
) -> None:
    """The download must work where nothing of ours is installed, and say what the service says."""
    bundle = client.models.download(str(job.model), "bundle.zip", tmp_path)
    zipfile.ZipFile(bundle).extractall(tmp_path / "model")
    done = subprocess.run(
        [bare_python, "-I", "predict.py", "--json", str(SAMPLES / "target-test")],
        cwd=tmp_path / "model",
        check=True,
        capture_output=True,
        text=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    right = sum(row["label"] == Path(row["image"]).parent.name for row in rows)
    assert job.metrics is not None
    assert job.metrics.test is not None
    assert right == round(100 * job.metrics.test.accuracy)
    chosen = rows[::7]
    said = client.models.predict(str(job.model), [row["image"] for row in chosen]).results
    for row, expected in zip(said, chosen, strict=True):
        assert (row.label, row.abstained) == (expected["label"], expected["abstained"])
        assert row.probability == pytest.approx(expected["probability"], abs=1e-4)


_PROGRAM = """
import json, sys
import torch
sys.path.insert(0, ".")
from predict import prepare
settings = json.load(open("preprocess.json"))
model = torch.export.load("model.pt2").module()
photos = [prepare(open(path, "rb").read(), settings) for path in sys.argv[1:]]
print(json.dumps(model(torch.stack([torch.from_numpy(one) for one in photos])).tolist()))
"""


def test_the_torch_program_answers_alone(client: Client, dataset: str, tmp_path: Path) -> None:
    """Who deploys with torch would get a file that loads nowhere, or another model."""
    submitted = client.jobs.submit(dataset=dataset, exports=["onnx", "torch_export"])
    model = str(client.jobs.wait(submitted.id, timeout=180).model)
    for name in ("model.pt2", "preprocess.json", "labels.json", "predict.py"):
        client.models.download(model, name, tmp_path / name)
    photos = sorted((SAMPLES / "target-test").rglob("*.png"))[::9]
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PROGRAM, *map(str, photos)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    labels = json.loads((tmp_path / "labels.json").read_text())["labels"]
    said = client.models.predict(model, photos, top=len(labels)).results
    for row, found in zip(json.loads(done.stdout), said, strict=True):
        expected = {guess.label: guess.probability for guess in found.top}
        assert dict(zip(labels, row, strict=True)) == pytest.approx(expected, abs=1e-4)


def test_every_file_is_what_its_hash_says(client: Client, job: Job, tmp_path: Path) -> None:
    """A file composed of segments must be the file that the worker hashed."""
    names = [file.name for file in client.models.files(str(job.model))]
    assert set(names) >= {"model.onnx", "model.safetensors", "labels.json", "predict.py"}
    for name in names:
        assert client.models.download(str(job.model), name, tmp_path / name).stat().st_size > 0


def test_a_label_is_added_without_training(
    client: Client, stack: Stack, job: Job, tmp_path: Path
) -> None:
    """A shop that sells something new would wait for photos and a training of everything."""
    photos = sorted((SAMPLES / "source" / "coat").iterdir())[:12]
    with zipfile.ZipFile(tmp_path / "coats.zip", "w") as archive:
        for photo in photos[:8]:
            archive.write(photo, photo.name)
    coats = client.datasets.wait(client.datasets.push(tmp_path / "coats.zip", "coats").id)
    assert (coats.num_unlabelled, coats.classes) == (8, [])
    model = client.models.get(str(job.model))
    made = client.jobs.wait(client.models.add_classes(model.id, coats.id, "coat").id, timeout=180)
    assert made.transfer is not None
    assert made.transfer.extension is not None
    assert made.transfer.extension.num_old == 24
    added = client.models.get(str(made.model))
    assert (added.name, added.version) == (model.name, model.version + 1)
    assert added.labels == [*model.labels, "coat"]
    assert added.lineage["extends"] == model.id
    assert made.metrics is not None
    assert made.metrics.test is not None
    assert made.metrics.test.num_images == 100
    said = client.models.predict(added.id, photos[8:]).results
    assert [one.label for one in said].count("coat") >= 3
    bundle = client.models.download(added.id, "bundle.zip", tmp_path)
    assert "predict.py" in zipfile.ZipFile(bundle).namelist()
    with (
        Client(stack.url, stack.create_merchant("Nadir").key) as other,
        pytest.raises(NotFoundError),
    ):
        other.models.add_classes(model.id, coats.id, "coat")


def test_a_model_is_measured_on_photos_of_today(client: Client, job: Job, dataset: str) -> None:
    """Whoever doubts a model would have to train it again to know."""
    asked = client.models.evaluate(str(job.model), str(job.spec.test_dataset))
    done = client.jobs.wait(asked.id, timeout=180)
    assert done.model is None
    assert done.metrics is not None
    assert job.metrics is not None
    assert done.metrics.test is not None
    assert job.metrics.test is not None
    assert done.metrics.test.confusion_matrix == job.metrics.test.confusion_matrix
    assert [one.id for one in client.models.evaluations(str(job.model))] == [done.id]
    assert done.id in {one.id for one in client.jobs.list()}
    assert [one.type for one in client.jobs.follow(done.id)]


def test_the_other_merchant_sees_nothing(stack: Stack, job: Job) -> None:
    """One merchant's products and models are another's trade secrets."""
    with Client(stack.url, stack.create_merchant("Zenith").key) as other:
        for ask in (other.jobs.get, other.jobs.cancel):
            with pytest.raises(NotFoundError):
                ask(job.id)
        with pytest.raises(NotFoundError):
            other.models.get(str(job.model))
        with pytest.raises(NotFoundError):
            other.models.predict(str(job.model), [b"x"])
        with pytest.raises(NotFoundError):
            other.models.evaluate(str(job.model), str(job.spec.test_dataset))
        with pytest.raises(NotFoundError):
            other.jobs.submit(dataset=job.spec.dataset)
        assert list(other.jobs.list()) == []


def test_a_wiped_redis_loses_no_queued_job(stack: Stack, client: Client, dataset: str) -> None:
    """Redis was emptied with jobs queued: each must still run, once."""
    jobs = [client.jobs.submit(dataset=dataset, seed=seed).id for seed in range(4)]
    if stack.redis is not None:
        for _ in range(5):
            stack.redis.flush()
    done = [client.jobs.wait(job, timeout=180) for job in jobs]
    assert len({job.model for job in done}) == 4
    if stack.redis is not None:
        stack.redis.flush()


def test_cancel_of_a_queued_and_of_a_running_job(client: Client, dataset: str) -> None:
    """A merchant who sees a mistake must not pay for it, and a finished job cannot be undone."""
    running = client.jobs.submit(dataset=dataset, seed=11, comparisons=["from_scratch"])
    queued = client.jobs.submit(dataset=dataset, seed=12)
    assert client.jobs.cancel(queued.id).status == "cancelled"
    client.jobs.cancel(running.id)
    for job in (running, queued):
        over = client.jobs.get(job.id)
        while over.finished_at is None:
            over = client.jobs.get(job.id)
        assert over.status == "cancelled"
        assert over.model is None
        with pytest.raises(ConflictError):
            client.jobs.cancel(job.id)
