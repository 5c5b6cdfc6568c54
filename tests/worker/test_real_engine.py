"""An upload and a training with the real engine, from the hint to the files of the model."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import select

from core.settings import Settings, Timings
from db.blobs import SqlBlobStore
from db.models import FileSegment, Job, JobResult, ModelFile
from db.repositories import jobs
from db.session import Database
from regraft.contract.job import JobSubmission
from tests.support.jobs import job, upload
from tests.support.merchants import Merchant
from tests.worker.conftest import opened
from worker.supervisor.supervise import supervise

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
    files = {
        path.relative_to(SAMPLES).as_posix(): path.read_bytes()
        for label in ("fruit", "bird")
        for path in sorted((SAMPLES / label).iterdir())
    }
    dataset_id, ingest_id = upload(database, acme.tenant_id, files)
    with opened(unhurried.model_copy(update={"device_class": "ingest"})) as ingest_station:
        supervise(ingest_station, ingest_id)
    with database.write() as session:
        submission = JobSubmission(dataset=dataset_id)
        job_id = jobs.submit(session, acme.tenant_id, submission, "cpu").job.id
    with opened(unhurried) as station:
        supervise(station, job_id)
        assert job(database, job_id).error is None
        with database.read() as session:
            names = session.scalars(select(ModelFile.name)).all()
            usage = session.scalars(
                select(JobResult.usage).join(Job).where(Job.kind == "train")
            ).one()
        assert {"model.onnx", "model.safetensors", "bundle.zip", "predict.py"} <= set(names)
        assert usage["num_images"] == len(files)
        for name in names:
            _assert_whole(database, station.blobs, name)


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
