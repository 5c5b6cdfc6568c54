"""A job that starts from a model: its file on this host is what was delivered, or the job ends."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from core.blobs import SHARED_SCOPE, BlobCorruptError
from db.lifecycle.claim import claim
from db.models import BlobChunk, Dataset, FileSegment, Job, Model, ModelFile
from db.repositories import aliases, jobs
from db.repositories.aliases import Place
from db.repositories.audit import OPERATOR
from db.repositories.submissions import WEIGHTS_FILE
from db.session import Database
from regraft.contract.ids import new_id
from regraft.contract.job import FromModel, JobSubmission
from regraft.contract.status import JobStatus
from tests.support.jobs import job, ready_dataset, submit
from tests.support.merchants import Merchant
from worker.engine.packs import read_index
from worker.station import Station
from worker.supervisor.attempt import Attempt
from worker.supervisor.base_model import base_model
from worker.supervisor.heart import Heart
from worker.supervisor.materialise import run_spec
from worker.supervisor.supervise import supervise

Begin = Callable[..., Attempt]
PARTS = [b"a header of its own", b"a backbone that all share" * 100, b"a head of its own"]


@pytest.fixture
def model(database: Database, station: Station, acme: Merchant, dataset: str) -> str:
    """A finished model of ACME's whose backbone lies in the shared scope."""
    job_id, model_id = submit(database, acme.tenant_id, dataset), new_id("md")
    scopes = [acme.tenant_id, SHARED_SCOPE, acme.tenant_id]
    blobs = [
        station.blobs.put_bytes(scope, part) for scope, part in zip(scopes, PARTS, strict=True)
    ]
    owner = {"tenant_id": acme.tenant_id, "model_id": model_id}
    sha256 = hashlib.sha256(b"".join(PARTS)).hexdigest()
    facts = {"labels": [], "metrics": {}, "transfer": {}, "lineage": {}, "strategy": "l2_sp"}
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(status="succeeded"))
        who = {"id": model_id, "tenant_id": acme.tenant_id, "name": "mugs", "version": 1}
        session.add(Model(**who, **facts, job_id=job_id, backbone="resnet18"))
        session.flush()
        size = sum(map(len, PARTS))
        session.add(ModelFile(**owner, name=WEIGHTS_FILE, size=size, sha256=sha256))
        session.flush()
        for seq, (scope, blob) in enumerate(zip(scopes, blobs, strict=True)):
            place = {"scope": scope, "blob_sha256": blob.sha256, "offset": 0, "length": blob.size}
            session.add(FileSegment(**owner, file_name=WEIGHTS_FILE, seq=seq, **place))
    return model_id


@pytest.fixture
def begin(
    database: Database, station: Station, acme: Merchant, dataset: str, tmp_path: Path
) -> Begin:
    """A function that submits a job with these fields and claims it."""

    def attempt(**fields: object) -> Attempt:
        job_id = _submit(database, acme, {"dataset": dataset, **fields})
        with database.write() as session:
            taken = claim(session, job_id, slot_id=station.slot_id, device_class="cpu", lease=60.0)
        assert taken is not None
        began = time.monotonic()
        heart = Heart(database, taken, station.settings.timings, began)
        return Attempt(station, taken, heart, tmp_path, began)

    return attempt


def _submit(database: Database, merchant: Merchant, fields: dict[str, object]) -> str:
    with database.write() as session:
        submission = JobSubmission.model_validate(fields)
        return jobs.submit(session, merchant.tenant_id, submission, "cpu").job.id


def test_a_run_finds_everything_it_names(
    database: Database, acme: Merchant, begin: Begin, model: str
) -> None:
    """The engine would look for a source, or for weights, that nobody brought to this host."""
    source = ready_dataset(database, acme.tenant_id, 3)
    unlabelled = ready_dataset(database, acme.tenant_id, 5, labels=())
    named = {"source_dataset": source, "unlabelled_dataset": unlabelled, "base": {"model": model}}
    spec = run_spec(begin(strategy={"type": "mmd"}, **named))
    counts = []
    for data in (spec.data, spec.source_data, spec.unlabelled_data):
        assert data is not None
        assert data.pack is not None
        counts.append(len(read_index(data.pack)))
    assert counts == [2, 3, 5]
    assert spec.spec.base == FromModel(model=model)
    assert spec.backbones == ["resnet18"]
    assert spec.base_model is not None
    assert spec.base_model.weights.read_bytes() == b"".join(PARTS)
    assert acme.tenant_id in spec.base_model.weights.parts


def test_what_is_extended_comes_with_what_it_learned_from(
    database: Database, station: Station, acme: Merchant, begin: Begin, model: str
) -> None:
    """The new label could not be told from the known ones, whose images lie elsewhere."""
    blob = station.blobs.put_bytes(acme.tenant_id, b"{}")
    owner = {"tenant_id": acme.tenant_id, "model_id": model}
    with database.write() as session:
        name = "predictions.json"
        session.add(ModelFile(**owner, name=name, size=blob.size, sha256=blob.sha256))
        session.flush()
        place = {"scope": acme.tenant_id, "blob_sha256": blob.sha256, "offset": 0, "length": 2}
        session.add(FileSegment(**owner, file_name=name, seq=0, **place))
    pots = ready_dataset(database, acme.tenant_id, 5, labels=("pot",))
    with database.write() as session:
        counted = [{"name": "pot", "num_images": 5}]
        session.execute(update(Dataset).where(Dataset.id == pots).values(classes=counted))
    strategy = {"type": "prototype", "extends": True}
    spec = run_spec(begin(dataset=pots, base={"model": model}, strategy=strategy))
    assert spec.finished is not None
    assert spec.finished.metrics is None
    assert spec.finished.predictions is not None
    assert spec.finished.predictions.read_bytes() == b"{}"
    (learned,) = spec.finished.data
    assert learned.pack is not None
    assert len(read_index(learned.pack)) == 2
    assert spec.data.pack is not None
    assert len(read_index(spec.data.pack)) == 5


def test_what_a_run_reads_stays_on_this_host_until_it_ends(begin: Begin, model: str) -> None:
    """Another worker that makes room would take the images of a running job."""
    attempt = begin(base={"model": model})
    spec = run_spec(attempt)
    assert spec.base_model is not None
    assert spec.data.pack is not None
    places = attempt.station.places
    assert places.trim(0).taken == 0
    attempt.holds.close()
    assert places.trim(0) == (2, 0)
    assert not spec.data.pack.exists()
    assert run_spec(attempt).data.pack == spec.data.pack
    assert spec.data.pack.is_file()
    attempt.holds.close()


def test_a_damaged_copy_is_fetched_again(begin: Begin, model: str) -> None:
    """A disk that forgets a byte would end in a model that nobody can explain."""
    attempt = begin()
    path = base_model(attempt, model).weights
    written = path.stat().st_ino
    assert base_model(attempt, model).weights.stat().st_ino == written
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert base_model(attempt, model).weights.read_bytes() == b"".join(PARTS)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_weights_that_changed_in_the_store_are_refused(
    database: Database, acme: Merchant, begin: Begin, model: str
) -> None:
    """The job would start from weights that were never delivered."""
    head = hashlib.sha256(PARTS[2]).hexdigest()
    with database.write() as session:
        chunk = update(BlobChunk).where(BlobChunk.sha256 == head)
        session.execute(chunk.values(data=PARTS[2][::-1]))
    attempt = begin()
    with pytest.raises(BlobCorruptError):
        base_model(attempt, model)
    cache = attempt.station.places.cache(acme.tenant_id)
    assert list((cache / "models").iterdir()) == []


def test_a_model_that_is_gone_ends_the_job(
    database: Database, station: Station, acme: Merchant, dataset: str, model: str
) -> None:
    """A job would be tried again and again, or blame the service."""
    job_id = _submit(database, acme, {"dataset": dataset, "base": {"model": model}})
    with database.write() as session:
        session.execute(update(Model).where(Model.id == model).values(deleted_at=1.0))
    supervise(station, job_id)
    ended = job(database, job_id)
    assert ended.status == JobStatus.FAILED
    assert ended.error is not None
    assert (ended.error["code"], ended.error["param"]) == ("not_found", "base.model")


def test_the_model_in_production_is_brought_along(
    database: Database, acme: Merchant, zenith: Merchant, begin: Begin, model: str
) -> None:
    """No report could say whether the new model is better than the one that answers today."""
    assert run_spec(begin(register_as="mugs")).live_model is None
    with database.write() as session:
        place = Place(acme.tenant_id, "mugs", "production")
        assert aliases.apply(session, place, aliases.plan(session, place, 1), OPERATOR)
    live = run_spec(begin(register_as="mugs")).live_model
    assert live is not None
    assert (live.backbone, live.weights.read_bytes()) == ("resnet18", b"".join(PARTS))
    assert run_spec(begin(register_as="plates")).live_model is None


def test_a_damaged_live_model_costs_no_job(
    database: Database, acme: Merchant, begin: Begin, model: str
) -> None:
    """The job that is to replace a broken model would fail because that is broken."""
    head = hashlib.sha256(PARTS[2]).hexdigest()
    with database.write() as session:
        place = Place(acme.tenant_id, "mugs", "production")
        assert aliases.apply(session, place, aliases.plan(session, place, 1), OPERATOR)
        chunk = update(BlobChunk).where(BlobChunk.sha256 == head)
        session.execute(chunk.values(data=PARTS[2][::-1]))
    assert run_spec(begin(register_as="mugs")).live_model is None
