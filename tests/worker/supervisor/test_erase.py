"""Erasing a dataset: afterwards nothing of its images is anywhere, and nobody else's is missing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from core.settings import Settings, Timings
from db.base import now
from db.blobs import SqlBlobStore
from db.lifecycle.reap import reap
from db.models import Blob, BlobChunk, Erasure, Image, Job, ModelFile
from db.repositories import erasures
from db.repositories.audit import OPERATOR
from db.repositories.versions import Changes
from db.session import Database
from regraft.contract.erasure import ErasureRequest
from regraft.contract.status import JobStatus
from tests.support.api import Api
from tests.support.jobs import job, picture, ready_dataset, upload
from tests.support.merchants import Merchant
from tests.support.versions import images, version
from worker.engine.tensorfile import header
from worker.station import Station
from worker.supervisor.supervise import supervise

ROOT = Path(__file__).parents[3]
PHOTO = (24, 20)
# A worker that is killed once it has deleted one image.
DIES = """
import os, signal, sys
from core.settings import Settings
from db.lifecycle import erasing
from worker.drain import DrainFlag
from worker.station import Station
from worker.supervisor.supervise import supervise

def dies(session, held, step=erasing.erase_images, calls=[]):
    if calls:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(held)
    return step(session, held)

erasing._AT_ONCE = 1
erasing.erase_images = dies
supervise(Station(Settings(), DrainFlag()), sys.argv[1])
"""


def noise(number: int) -> bytes:
    """Return a picture whose stored bytes can be told from all others."""
    return picture(number, PHOTO, "PNG")


@pytest.fixture
def light(light: Settings) -> Settings:
    """The clockwork of production: nothing here waits for it, and no slow machine is lost."""
    return light.model_copy(update={"timings": Timings()})


@pytest.fixture
def checked(ingest_station: Station, acme: Merchant) -> str:
    """A dataset of three photos that has really been checked."""
    files = {f"{'ab'[number % 2]}/{number}.png": noise(number) for number in range(3)}
    dataset, ingest = upload(ingest_station.database, acme.tenant_id, files)
    supervise(ingest_station, ingest)
    return dataset


def _erase(station: Station, merchant: Merchant, dataset: str, models: str = "keep") -> Erasure:
    request = ErasureRequest.model_validate({"dataset": dataset, "models": models})
    with station.database.write() as session:
        found = erasures.request(session, merchant.tenant_id, request, OPERATOR)
    supervise(station, found.job.id)
    with station.database.read() as session:
        return session.scalars(select(Erasure).where(Erasure.dataset_id == dataset)).one()


def _stored(database: Database, scope: str) -> list[bytes]:
    query = select(BlobChunk.data).where(BlobChunk.scope == scope)
    with database.read() as session:
        return [bytes(data) for data in session.scalars(query)]


def _kept(database: Database, dataset: str) -> list[str]:
    query = select(Image.sha256).where(Image.dataset_id == dataset, Image.sha256.is_not(None))
    with database.read() as session:
        return [str(sha256) for sha256 in session.scalars(query)]


def _cached(station: Station, merchant: Merchant, dataset: str) -> list[Path]:
    """Write what training and its crashes leave on a host; return the files."""
    cache = station.places.cache(merchant.tenant_id)
    whole = b"".join(_stored(station.database, merchant.tenant_id))
    metadata = {"images": json.dumps(_kept(station.database, dataset))}
    files = {
        f"packs/{dataset}/images.pack": whole,
        f"packs/.{dataset}.x1y2/images.pack": whole,
        "features/key/pack.safetensors": header([], metadata) + whole,
    }
    for name, data in files.items():
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(data)
    left = station.places.folder("job_x.1") / "upload.zip"
    left.parent.mkdir(parents=True)
    left.write_bytes(whole)
    return [*(cache / name for name in files), left]


def _places_with(folder: Path, needles: list[bytes]) -> list[Path]:
    """Return the files below a folder that hold any of these bytes."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    ]


def test_nothing_of_the_images_is_left(
    ingest_station: Station, database: Database, acme: Merchant, checked: str, tmp_path: Path
) -> None:
    """A customer who may ask for erasure would find the photos in a backup years later."""
    needles = _stored(database, acme.tenant_id)
    assert len(needles) == 7  # the zip, three clean copies and their thumbnails
    left = _cached(ingest_station, acme, checked)
    middles = [needle[len(needle) // 3 :][:64] for needle in needles]
    assert set(left) <= set(_places_with(tmp_path, middles))
    done = _erase(ingest_station, acme, checked)
    assert job(database, done.job_id).status == JobStatus.SUCCEEDED
    assert done.finished_at is not None
    counts = {"images": 3, "blobs": 7, "bytes": sum(map(len, needles)), "checkpoints": 0}
    assert counts.items() <= done.deleted.items()
    assert _stored(database, acme.tenant_id) == []
    assert _kept(database, checked) == []
    database.dispose()
    ingest_station.database.dispose()
    # On SQLite this looks into the database's own file and its log as well.
    assert _places_with(tmp_path, middles) == []


@pytest.mark.parametrize(("models", "left"), [("keep", ["model.onnx"]), ("delete", [])])
def test_what_shows_the_images_goes_from_their_models(
    ingest_station: Station, database: Database, acme: Merchant, models: str, left: list[str]
) -> None:
    """The report of a model shows photos: they would outlive the erasure."""
    api = Api(ingest_station.settings, database)
    files = {"model.onnx": [b"weights"], "report.html": [b"a photo"], "bundle.zip": [b"all of it"]}
    trained = api.trained(acme, files, name="mugs")
    done = _erase(ingest_station, acme, trained.dataset_id, models)
    assert done.deleted["model_files"] == 3 - len(left)
    with database.read() as session:
        named = session.scalars(select(ModelFile.name)).all()
    assert list(named) == left
    assert _stored(database, acme.tenant_id) == [b"##weights##" for _ in left]
    shown = api.get(f"/v1/models/{trained.model_id}", acme)
    assert shown.status_code == (200 if left else 404)
    if left:
        url = f"/v1/models/{trained.model_id}/files"
        assert api.get(f"{url}/model.onnx", acme).data == b"weights"
        assert api.get(f"{url}/report.html", acme).status_code == 404


def test_what_others_have_stays(
    ingest_station: Station, database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """Two seasons share photos: erasing one would break the other, or another merchant's."""
    mine, other = (ready_dataset(database, acme.tenant_id, count) for count in (5, 2))
    theirs = ready_dataset(database, zenith.tenant_id, 5)
    before = {name: _kept(database, name) for name in (other, theirs)}
    done = _erase(ingest_station, acme, mine)
    assert {"images": 5, "blobs": 3}.items() <= done.deleted.items()
    assert {name: _kept(database, name) for name in (other, theirs)} == before
    blobs = SqlBlobStore(database)
    for merchant, dataset in ((acme, other), (zenith, theirs)):
        for sha256 in before[dataset]:
            assert b"".join(blobs.read(merchant.tenant_id, sha256))
    with database.read() as session:
        left = session.scalars(select(func.count()).select_from(Blob)).one()
    assert left == 3 + 6  # with a container each


def test_an_erasure_that_was_killed_goes_on(
    ingest_station: Station, database: Database, acme: Merchant
) -> None:
    """Half a dataset would stay for ever, and its record say that it is gone."""
    checked = ready_dataset(database, acme.tenant_id, 3)
    request = ErasureRequest(dataset=checked)
    with database.write() as session:
        found = erasures.request(session, acme.tenant_id, request, OPERATOR)
    died = subprocess.run(
        [sys.executable, "-c", DIES, found.job.id],
        cwd=ROOT,
        env={
            **os.environ,
            "REGRAFT_HOME": str(ingest_station.settings.home),
            "REGRAFT_DATABASE_URL": ingest_station.settings.url,
            "REGRAFT_DEVICE_CLASS": "ingest",
        },
        check=False,
        capture_output=True,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert job(database, found.job.id).status == JobStatus.RUNNING
    assert len(_kept(database, checked)) == 2
    with database.write() as session:
        session.execute(update(Job).where(Job.id == found.job.id).values(lease_until=now() - 1))
    assert [reaped.to for reaped in reap(database, max_losses=3)] == [JobStatus.QUEUED]
    supervise(ingest_station, found.job.id)
    with database.read() as session:
        done = erasures.show(session, acme.tenant_id, found.erasure.id)
    assert (done.job.status, done.job.attempt) == (JobStatus.SUCCEEDED, 2)
    assert {"images": 3, "blobs": 4}.items() <= done.erasure.deleted.items()
    assert _stored(database, acme.tenant_id) == []


@pytest.mark.parametrize("models", ["keep", "delete"])
def test_answers_go_with_what_they_are_about(
    ingest_station: Station, settings: Settings, acme: Merchant, zenith: Merchant, models: str
) -> None:
    """A customer's product names would live on in a file of answers."""
    api = Api(settings, ingest_station.database)
    made = api.trained(acme, {"model.onnx": [b"x"]}, name="home-goods")
    elsewhere = api.trained(acme, {"model.onnx": [b"y"]}, name="other")
    theirs = api.answered(zenith, api.trained(zenith, {"model.onnx": [b"z"]}), [b"theirs"])
    about = api.answered(acme, made._replace(model_id=elsewhere.model_id), [b"about", b"it"])
    by_it = api.answered(acme, made._replace(dataset_id=elsewhere.dataset_id), [b"said by it"])
    erasure = _erase(ingest_station, acme, made.dataset_id, models)
    goes_too = models == "delete"
    assert erasure.finished_at is not None
    assert erasure.deleted["batch_files"] == 1 + goes_too
    left = {by_it: acme, about: acme, theirs: zenith}
    statuses = [api.get(f"/v1/batches/{one}/file", left[one]).status_code for one in left]
    assert statuses == [404 if goes_too else 200, 404, 200]
    stored = _stored(ingest_station.database, acme.tenant_id)
    assert b"about" not in stored
    assert (b"said by it" in stored) is not goes_too


def test_a_version_keeps_what_it_shares(
    ingest_station: Station, database: Database, acme: Merchant, checked: str
) -> None:
    """Erasing last season's set would break this season's, or leave what this one left out."""
    first = images(database, checked)
    gone = first[0]
    made = version(ingest_station, acme, checked, Changes(remove=[gone.id], relabel={}))
    kept = images(database, made.id)
    wanted = ErasureRequest(dataset=checked)
    with database.read() as session:
        preview = erasures.preview(session, acme.tenant_id, wanted)
    assert (preview.num_images, preview.num_shared, preview.versions) == (3, 2, [made.id])
    done = _erase(ingest_station, acme, checked)
    # The zip, and the picture that was left out with its thumbnail.
    assert {"images": 3, "blobs": 3, "bytes": preview.bytes}.items() <= done.deleted.items()
    blobs = SqlBlobStore(database)
    for row in kept:
        for sha256 in (row.sha256, row.thumbnail_sha256):
            assert b"".join(blobs.read(acme.tenant_id, str(sha256)))
    assert blobs.find(acme.tenant_id, str(gone.sha256)) is None
    assert blobs.find(acme.tenant_id, str(gone.thumbnail_sha256)) is None
    grandchild = version(ingest_station, acme, made.id, Changes(relabel={kept[0].id: "c"}))
    assert (grandchild.version, grandchild.num_images) == (3, 2)
    for dataset in (made.id, grandchild.id):
        _erase(ingest_station, acme, dataset)
    assert _stored(database, acme.tenant_id) == []
