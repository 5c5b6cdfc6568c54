"""An upload from its hint to its verdicts, with the real sandboxed child."""

import io
import os
import signal
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from PIL import Image as Pillow
from sqlalchemy import select, update

from core.settings import UploadLimits
from db.models import Dataset, Image, Job
from db.session import Database
from regraft.contract.verdict import Verdict
from tests.support.jobs import job, picture, upload, upload_container, wait_for
from tests.support.merchants import Merchant
from tests.support.parquet import rows, written
from worker.ingest import run
from worker.ingest.messages import (
    Begun,
    Checked,
    Finished,
    FromChild,
    Opened,
    Opening,
    Task,
    from_child,
)
from worker.ingest.run import _COMMAND
from worker.line_process import LineProcess
from worker.station import Station
from worker.supervisor.supervise import supervise

TWO = {"mug/1.png": picture(1), "plate/2.png": picture(2)}


def _dataset(database: Database, dataset_id: str) -> Dataset:
    with database.read() as session:
        return session.get_one(Dataset, dataset_id)


def _images(database: Database, dataset_id: str) -> list[Image]:
    query = select(Image).where(Image.dataset_id == dataset_id).order_by(Image.seq)
    with database.read() as session:
        return list(session.scalars(query))


def test_good_files_are_kept_and_bad_ones_explained(
    database: Database, ingest_station: Station, acme: Merchant
) -> None:
    """One bad file would cost a merchant the whole upload."""
    files = {
        "mug/1.png": picture(1),
        "mug/again.png": picture(1),
        "plate/2.jpg": picture(2, (64, 64), "JPEG"),
        "plate/notes.jpg": b"not an image",
        "plate/cut.jpg": picture(3, (64, 64), "JPEG")[:400],
    }
    dataset_id, job_id = upload(database, acme.tenant_id, files)
    supervise(ingest_station, job_id)
    dataset = _dataset(database, dataset_id)
    assert (dataset.status, dataset.num_images, dataset.num_rejected) == ("ready", 3, 2)
    assert dataset.classes == [{"name": "mug", "num_images": 2}, {"name": "plate", "num_images": 1}]
    images = _images(database, dataset_id)
    assert [(image.path, image.label, image.verdict) for image in images] == [
        ("mug/1.png", "mug", Verdict.OK),
        ("mug/again.png", "mug", Verdict.OK_DUPLICATE),
        ("plate/2.jpg", "plate", Verdict.OK),
        ("plate/notes.jpg", "plate", Verdict.NOT_AN_IMAGE),
        ("plate/cut.jpg", "plate", Verdict.TRUNCATED),
    ]
    stored = b"".join(ingest_station.blobs.read(acme.tenant_id, str(images[2].sha256)))
    assert Pillow.open(io.BytesIO(stored)).size == (64, 64)
    assert job(database, job_id).status == "succeeded"


def test_groups_and_splits_come_from_the_manifest(
    database: Database, ingest_station: Station, acme: Merchant
) -> None:
    """A merchant's own split would be ignored, and a product would leak into its own test."""
    rows = "path,label,group,split\na.png,mug,m1,train\nb.png,plate,p1,test\n"
    files = {"manifest.csv": rows.encode(), "a.png": picture(1), "b.png": picture(2)}
    dataset_id, job_id = upload(database, acme.tenant_id, files)
    supervise(ingest_station, job_id)
    found = [
        (image.label, image.product_group, image.split) for image in _images(database, dataset_id)
    ]
    assert found == [("mug", "m1", "train"), ("plate", "p1", "test")]


def test_an_upload_without_two_classes_is_invalid(
    database: Database, ingest_station: Station, acme: Merchant
) -> None:
    """The merchant would learn it from a failed training."""
    dataset_id, job_id = upload(
        database, acme.tenant_id, {"mug/1.png": picture(1), "plate/2.png": b"text"}
    )
    supervise(ingest_station, job_id)
    dataset = _dataset(database, dataset_id)
    assert dataset.status == "invalid"
    assert dataset.status_reason


def test_a_child_that_dies_costs_one_image(
    database: Database, ingest_station: Station, acme: Merchant
) -> None:
    """One image that crashes a decoder would make an upload impossible."""
    files = {f"{'mug' if n % 2 else 'plate'}/{n}.png": picture(n, (1500, 1500)) for n in range(12)}
    dataset_id, job_id = upload(database, acme.tenant_id, files)
    thread = threading.Thread(target=supervise, args=(ingest_station, job_id))
    thread.start()
    wait_for(lambda: (job(database, job_id).progress or {}).get("steps_done"))
    os.kill(wait_for(_decoding_child), signal.SIGSEGV)
    thread.join(30)
    dataset = _dataset(database, dataset_id)
    rejected = [image for image in _images(database, dataset_id) if image.sha256 is None]
    assert (dataset.status, dataset.num_images) == ("ready", 11)
    assert [image.verdict for image in rejected] == [Verdict.DECODER_FAILED]
    assert rejected[0].path in files


@pytest.mark.parametrize("child", ["import time; time.sleep(99)", "raise SystemExit(3)"])
def test_a_child_that_never_speaks_costs_no_life(
    database: Database,
    ingest_station: Station,
    acme: Merchant,
    monkeypatch: pytest.MonkeyPatch,
    child: str,
) -> None:
    """A busy machine would use up a good upload's three lives and call it invalid."""
    dataset_id, job_id = upload(database, acme.tenant_id, TWO)
    hasty = ingest_station.settings.timings.model_copy(update={"stall": 0.5})
    patient = ingest_station.settings
    ingest_station.settings = patient.model_copy(update={"timings": hasty})
    with monkeypatch.context() as patch:
        patch.setattr(run, "_COMMAND", (sys.executable, "-c", child))
        supervise(ingest_station, job_id)
    row = job(database, job_id)
    assert (row.status, row.lost_count, row.retry_count) == ("queued", 0, 1)
    assert _dataset(database, dataset_id).status == "processing"
    ingest_station.settings = patient
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(run_after=0.0))
    supervise(ingest_station, job_id)
    assert _dataset(database, dataset_id).status == "ready"


def test_a_parquet_file_becomes_a_dataset(
    database: Database, ingest_station: Station, acme: Merchant
) -> None:
    """The rows' pictures would be checked and thrown away."""
    data = written(rows([picture(1), picture(2), b"text"], [0, 1, 1]))
    dataset_id, job_id = upload_container(database, acme.tenant_id, data)
    supervise(ingest_station, job_id)
    found = [(image.path, image.label, image.verdict) for image in _images(database, dataset_id)]
    assert found == [
        ("0", "mug", Verdict.OK),
        ("1", "plate", Verdict.OK),
        ("2", "plate", Verdict.NOT_AN_IMAGE),
    ]
    assert _dataset(database, dataset_id).status == "ready"


def test_a_container_that_kills_every_decoder_is_invalid(
    database: Database, ingest_station: Station, acme: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file made to crash its reader would take one worker after another for ever."""
    child = """import os; print('{"type":"opening"}', flush=True); os.abort()"""
    dataset_id, job_id = upload(database, acme.tenant_id, TWO)
    monkeypatch.setattr(run, "_COMMAND", (sys.executable, "-c", child))
    supervise(ingest_station, job_id)
    dataset = _dataset(database, dataset_id)
    assert dataset.status == "invalid"
    assert "SIGABRT" in str(dataset.status_reason)
    assert job(database, job_id).status == "failed"


def test_a_child_has_little_memory(tmp_path: Path) -> None:
    """One image would take the whole host down with it."""
    archive = tmp_path / "upload.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("mug/1.png", picture(1))
        packed.writestr("mug/huge.png", picture(2, (4900, 4900)))
        packed.writestr("plate/2.png", picture(3))
    out = tmp_path / "out"
    out.mkdir()
    child: LineProcess[FromChild] = LineProcess(_COMMAND, from_child.validate_json)
    limits = UploadLimits(max_ratio=10_000)
    task = Task(
        archive=archive,
        out=out,
        start=0,
        limits=limits,
        least_classes=2,
        memory=120 * 1024 * 1024,
        seconds=30,
        budget=600,
    )
    child.send(task.line())
    said: list[FromChild] = []
    while not (said and isinstance(said[-1], Finished)):
        message = child.receive(10)
        assert message is not None
        said.append(message)
    child.kill()
    assert said[:2] == [Opening(), Opened(count=3)]
    assert [one.verdict for one in said if isinstance(one, Checked)] == [
        Verdict.OK,
        Verdict.DECODER_FAILED,
        Verdict.OK,
    ]
    assert sum(isinstance(one, Begun) for one in said) == 3


def test_an_upload_has_so_much_of_a_processor(
    database: Database, ingest_station: Station, acme: Merchant
) -> None:
    """20,000 files that each take half a minute would keep everybody waiting for a week."""
    limits = UploadLimits(max_cpu_seconds=0.0)
    changed = {"uploads": limits}
    ingest_station.settings = ingest_station.settings.model_copy(update=changed)
    files = {"mug/1.png": picture(1), "plate/2.png": picture(2)}
    dataset_id, job_id = upload(database, acme.tenant_id, files)
    supervise(ingest_station, job_id)
    dataset = _dataset(database, dataset_id)
    assert (dataset.status, dataset.num_rejected) == ("invalid", 2)
    for image in _images(database, dataset_id):
        assert image.verdict == Verdict.DECODER_FAILED
        assert "processor time" in str(image.message)


def test_a_damaged_blob_fails_the_job_and_its_dataset(
    database: Database, ingest_station: Station, acme: Merchant
) -> None:
    """A dataset would be `processing` for ever."""
    dataset_id, job_id = upload(database, acme.tenant_id, {"mug/1.png": picture(1)})
    with database.write() as session:
        session.get_one(Dataset, dataset_id).source_sha256 = "0" * 64
    supervise(ingest_station, job_id)
    row = job(database, job_id)
    assert (row.status, (row.error or {}).get("code")) == ("failed", "artifact_corrupt")
    assert _dataset(database, dataset_id).status == "invalid"
    with database.read() as session:
        assert session.scalars(select(Job.owner).where(Job.id == job_id)).one() is None


def _decoding_child() -> int | None:
    """Return the pid of this process's decoding child."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_text()
        except OSError:
            continue
        parent = int(stat.rpartition(")")[2].split()[1])
        if parent == os.getpid() and "worker.ingest.child" in command:
            return int(entry.name)
    return None
