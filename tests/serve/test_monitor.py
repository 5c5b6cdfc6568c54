"""What is written of traffic: sums of enough photos, each once, of the right merchant."""

import json
import time

import numpy as np
import pytest
import torch
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from db.lifecycle import drift
from db.models import DriftWindow
from db.session import Database
from serve.drift import Reference
from serve.monitor import FEWEST, Monitor
from serve.settings import ServeSettings
from tests.serve.conftest import Serving, photo
from tests.support.merchants import Merchant
from tests.support.served import LABELS, Shelf
from worker.engine.reference import written
from worker.engine.tensorfile import Entry, header

RARELY = 3600.0


def reference_file() -> bytes:
    """Return a reference for `tiny_backbone`'s three features, in three dimensions."""
    signs = np.array([[0b10000000], [0b01000000], [0b00100000]], dtype=np.uint8)
    values = {
        "counts": np.full(3, 30, dtype="<i8"),
        "means": np.zeros((3, 3), dtype="<f4"),
        "whitening": np.eye(3, dtype="<f4"),
        "signs": signs,
    }
    kinds = {"<i8": "I64", "<f4": "F32", "|u1": "U8"}
    entries = [
        Entry(name, kinds[one.dtype.str], one.shape, one.nbytes) for name, one in values.items()
    ]
    return header(entries, {}) + b"".join(one.tobytes() for one in values.values())


@pytest.fixture
def reference() -> Reference:
    """The same, read."""
    return Reference.of(reference_file(), 3)


@pytest.fixture
def model(shelf: Shelf, acme: Merchant) -> str:
    """A model whose training images are known."""
    model_id = shelf.add(acme.tenant_id)
    shelf.add_file(model_id, acme.tenant_id, "reference.safetensors", reference_file())
    return model_id


@pytest.fixture
def given(given: ServeSettings) -> ServeSettings:
    """Settings whose monitor writes when it is told to."""
    return given.model_copy(update={"drift_seconds": RARELY})


def _windows(database: Database) -> list[DriftWindow]:
    with database.read() as session:
        return list(session.scalars(select(DriftWindow).order_by(DriftWindow.seq)))


def _colours(count: int, start: int = 0) -> list[bytes]:
    return [photo((n % 250, n // 250, 7)) for n in range(start, start + count)]


def test_traffic_becomes_sums_and_nothing_else(
    serving: Serving, database: Database, acme: Merchant, model: str
) -> None:
    """A photo of a customer's product could be had back from what is kept of it."""
    monitor = serving.parts.monitor
    few = _colours(FEWEST - 1)
    assert serving.ask(acme.tenant_id, model, few).status_code == 200
    monitor.flush()
    assert _windows(database) == []
    # A photo that is sent again, one that cannot be read and vectors add nothing.
    serving.ask(acme.tenant_id, model, [few[0], b"no photo"])
    serving.ask(acme.tenant_id, model, _colours(3, 900), route="/embed")
    monitor.flush()
    assert _windows(database) == []
    serving.ask(acme.tenant_id, model, _colours(1, 500))
    monitor.flush()
    (window,) = _windows(database)
    assert (window.tenant_id, window.model_id) == (acme.tenant_id, model)
    assert window.num_images == sum(window.counts) == FEWEST
    assert len(window.sums) == len(LABELS)


def test_a_class_that_the_reference_does_not_know_counts_nothing(
    database: Database, acme: Merchant, model: str, reference: Reference
) -> None:
    """A label that was added later would be compared with the mean of no image: zero."""
    counts = np.array([30, 0, 30])
    monitor = Monitor(database, RARELY)
    classes = np.array([0, 1] * FEWEST, dtype=np.int64)
    features = np.ones((len(classes), 3), dtype=np.float32)
    photos = [str(n).encode() for n in range(len(classes))]
    known = reference._replace(counts=counts)
    monitor.saw((acme.tenant_id, model), known, photos, features, classes)
    monitor.close()
    (window,) = _windows(database)
    assert window.counts == [FEWEST, 0, 0]


def test_a_model_without_a_reference_is_asked_as_before(
    serving: Serving, shelf: Shelf, database: Database, acme: Merchant
) -> None:
    """Every model of an older version would be answered with an error."""
    model = shelf.add(acme.tenant_id)
    assert serving.ask(acme.tenant_id, model, _colours(30)).status_code == 200
    serving.parts.monitor.flush()
    assert _windows(database) == []


def test_a_damaged_reference_is_an_alarm(serving: Serving, shelf: Shelf, acme: Merchant) -> None:
    """Altered bytes would be taken for what a training wrote."""
    model = shelf.add(acme.tenant_id)
    shelf.add_file(model, acme.tenant_id, "reference.safetensors", b"something else")
    answer = serving.ask(acme.tenant_id, model, _colours(1))
    assert answer.get_json()["error"]["code"] == "artifact_corrupt"


def test_what_cannot_be_written_is_kept(
    database: Database,
    acme: Merchant,
    model: str,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database that is away for a minute would cost the window."""
    monitor = Monitor(database, RARELY)
    features = np.random.default_rng(0).random((FEWEST, 3)).astype(np.float32)
    classes = np.zeros(FEWEST, dtype=np.int64)
    photos = [str(n).encode() for n in range(FEWEST)]
    monitor.saw((acme.tenant_id, model), reference, photos, features, classes)

    def away(*_arguments: object) -> None:
        raise OperationalError("INSERT", {}, ConnectionError("away"))

    with monkeypatch.context() as patch:
        patch.setattr(drift, "add", away)
        monitor.flush()
    assert _windows(database) == []
    monitor.close()
    (window,) = _windows(database)
    expected = reference.deviations(features, classes).sum(axis=0)
    assert window.sums == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_thread_writes_by_itself(
    database: Database, acme: Merchant, model: str, reference: Reference
) -> None:
    """Sums that only a call writes would never be written."""
    monitor = Monitor(database, 0.05)
    features = np.ones((FEWEST, 3), dtype=np.float32)
    classes = np.zeros(FEWEST, dtype=np.int64)
    photos = [str(n).encode() for n in range(FEWEST)]
    monitor.saw((acme.tenant_id, model), reference, photos, features, classes)
    deadline = time.monotonic() + 10
    while not _windows(database) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(_windows(database)) == 1
    monitor.close()


def test_the_engines_file_is_what_serving_reads() -> None:
    """Two rooms that disagree about a file would leave drift silent for ever."""
    chance = torch.Generator().manual_seed(0)
    features = torch.rand(90, 24, generator=chance)
    classes = np.arange(90) % 3
    content = written(features, classes, LABELS)
    assert content is not None
    read = Reference.of(content, 24)
    deviations = read.deviations(features.numpy(), classes)
    assert np.abs(deviations.mean(axis=0)).max() < 1e-5
    spread = (deviations @ read.whitening.T).T @ (deviations @ read.whitening.T) / read.freedom
    assert np.diag(spread) == pytest.approx(np.ones(len(spread)), abs=0.1)
    assert json.dumps(read.freedom) == "87"
