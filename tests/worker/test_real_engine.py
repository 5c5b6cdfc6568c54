"""An upload and a training with the real engine, from the hint to the files of the model."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import func, select

from api.serving import Serving
from core.serving import Asked, Photo
from core.settings import Serving as ServingSettings
from core.settings import Settings, Timings
from db.blobs import SqlBlobStore
from db.models import FileSegment, Image, Job, JobEvent, JobMetric, JobResult, Model, ModelFile
from db.repositories import batches, jobs
from db.repositories.versions import Changes
from db.session import Database
from regraft.contract.batch import BatchRow, BatchSubmission
from regraft.contract.job import JobSubmission
from tests.support.jobs import job, upload
from tests.support.merchants import Merchant
from tests.support.served import listening
from tests.support.versions import images, version
from tests.worker.conftest import opened
from worker.station import Station
from worker.supervisor.supervise import supervise

BATCH_TOLERANCE = 0.005  # docs/serving.md
SAMPLES = Path(__file__).parents[2] / "samples" / "objects" / "target"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
]


@pytest.fixture
def unhurried(settings: Settings) -> Settings:
    """The same with the clockwork of production: a busy machine costs no attempt."""
    return settings.model_copy(update={"timings": Timings()})


def test_a_real_training_leaves_files_that_match_their_hashes(
    database: Database, unhurried: Settings, acme: Merchant
) -> None:
    """The light trainer would hide that the real one speaks another language."""
    dataset_id = _checked(database, unhurried, acme)
    with database.read() as session:
        query = select(func.count()).where(Image.dataset_id == dataset_id)
        num_images = session.scalar(query)
    with opened(unhurried) as station:
        job_id = _train(database, station, acme, dataset_id)
        assert job(database, job_id).error is None
        with database.read() as session:
            names = session.scalars(select(ModelFile.name)).all()
            usage = session.scalars(
                select(JobResult.usage).join(Job).where(Job.kind == "train")
            ).one()
        assert {"model.onnx", "model.safetensors", "bundle.zip", "predict.py"} <= set(names)
        assert usage["num_images"] == num_images
        for name in names:
            _assert_whole(database, station.blobs, name)
        _assert_batch_says_what_predict_says(station, acme.tenant_id, dataset_id)


def test_a_second_host_computes_no_image(
    database: Database, unhurried: Settings, acme: Merchant, tmp_path: Path
) -> None:
    """Each host would run the backbone over every image again."""
    dataset_id = _checked(database, unhurried, acme)
    rates = select(JobMetric.job_id).where(JobMetric.name == "images_per_second").distinct()
    trained = []
    for number in range(2):
        home = {"home": tmp_path / f"host {number}", "runtime": "eager"}
        with opened(unhurried.model_copy(update=home)) as station:
            trained.append(_train(database, station, acme, dataset_id))
    assert [job(database, job_id).error for job_id in trained] == [None, None]
    with database.read() as session:
        assert session.scalars(rates).all() == trained[:1]
        metrics = session.scalars(select(JobResult.metrics).where(JobResult.job_id.in_(trained)))
        first, second = metrics.all()
    assert first == second


def test_a_version_computes_its_new_images_alone(
    database: Database, unhurried: Settings, acme: Merchant
) -> None:
    """A season's few new photos would cost the backbone's pass over the whole catalogue."""
    parent = _checked(database, unhurried, acme)
    new = {path.relative_to(SAMPLES).as_posix(): path.read_bytes() for path in _photos("tool")}
    with opened(unhurried.model_copy(update={"device_class": "ingest"})) as ingest_station:
        made = version(ingest_station, acme, parent, Changes(), new)
    old_images, all_images = (
        {image.sha256 for image in images(database, one) if image.sha256}
        for one in (parent, made.id)
    )
    assert 0 < len(old_images) < len(all_images)
    with opened(unhurried) as station:
        first = _train(database, station, acme, parent)
        second = _train(database, station, acme, made.id)
    assert [job(database, job_id).error for job_id in (first, second)] == [None, None]
    said = select(JobEvent.message).where(JobEvent.message.contains("were computed before"))
    with database.read() as session:
        assert session.scalars(said.where(JobEvent.job_id == first)).all() == []
        (message,) = session.scalars(said.where(JobEvent.job_id == second)).all()
    assert message == f"Features of {len(old_images)} images were computed before."


def _photos(label: str) -> list[Path]:
    return sorted((SAMPLES / label).iterdir())


def _checked(database: Database, given: Settings, merchant: Merchant) -> str:
    files = {
        path.relative_to(SAMPLES).as_posix(): path.read_bytes()
        for label in ("fruit", "bird")
        for path in _photos(label)
    }
    dataset_id, ingest_id = upload(database, merchant.tenant_id, files)
    with opened(given.model_copy(update={"device_class": "ingest"})) as ingest_station:
        supervise(ingest_station, ingest_id)
    return dataset_id


def _train(database: Database, station: Station, merchant: Merchant, dataset_id: str) -> str:
    with database.write() as session:
        submission = JobSubmission(dataset=dataset_id)
        job_id = jobs.submit(session, merchant.tenant_id, submission, "cpu").job.id
    supervise(station, job_id)
    return job_id


def _assert_batch_says_what_predict_says(station: Station, tenant_id: str, dataset_id: str) -> None:
    """Let the model answer about its dataset, and ask the serving process about the same photos."""
    database = station.database
    with database.write() as session:
        model = session.scalars(select(Model.id)).one()
        wanted = BatchSubmission(dataset=dataset_id, model=model)
        batch_id = batches.submit(session, tenant_id, wanted, "cpu").job.id
    supervise(station, batch_id)
    assert job(database, batch_id).error is None
    with database.read() as session:
        file = batches.stored_file(session, tenant_id, batch_id)
        mine = select(Image).where(Image.dataset_id == dataset_id)
        images = session.scalars(mine.order_by(Image.seq)).all()
    data = b"".join(b"".join(station.blobs.read(tenant_id, one.sha256)) for one in file.segments)
    rows = [BatchRow.model_validate_json(line) for line in data.splitlines()]
    assert [row.image for row in rows] == [image.id for image in images]
    few = slice(0, None, 4)
    content = [b"".join(station.blobs.read(tenant_id, str(one.sha256))) for one in images[few]]
    photos = [Photo(name=str(n), group=None, size=len(one)) for n, one in enumerate(content)]
    asked = Asked(tenant_id=tenant_id, model_id=model, photos=tuple(photos), seconds=60)
    with listening(station.settings, database) as url:
        said = Serving(ServingSettings(url=url, seconds=60)).predict(asked, content)
    for row, served in zip(rows[few], said.results, strict=True):
        assert (row.label, row.abstained) == (served.label, served.abstained)
        assert row.probability == pytest.approx(served.probability, abs=BATCH_TOLERANCE)


def _assert_whole(database: Database, blobs: SqlBlobStore, name: str) -> None:
    """Compose a file as the API does and compare it with its row."""
    digest = hashlib.sha256()
    query = select(FileSegment).where(FileSegment.file_name == name).order_by(FileSegment.seq)
    with database.read() as session:
        file = session.scalars(select(ModelFile).where(ModelFile.name == name)).one()
        parts = session.scalars(query).all()
    for part in parts:
        for piece in blobs.read(part.scope, part.blob_sha256, part.offset, part.length):
            digest.update(piece)
    assert sum(part.length for part in parts) == file.size
    assert digest.hexdigest() == file.sha256
