"""Queued jobs and ready datasets for the tests, made as the API makes them."""

import hashlib
import io
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from PIL import Image as Pillow
from sqlalchemy import select

from db.blobs import SqlBlobStore
from db.models import Dataset, Image, Job, JobEvent
from db.repositories import datasets, jobs
from db.repositories.datasets import NewDataset
from db.session import Database
from regraft.contract.ids import new_id
from regraft.contract.job import Hyperparameters, JobSubmission, Limits

Found = TypeVar("Found")


def ready_dataset(
    database: Database,
    tenant_id: str,
    num_images: int = 2,
    labels: Sequence[str] = ("mug", "plate"),
) -> str:
    """Insert a checked dataset with real PNGs, labelled in turn, and return its id."""
    blobs = SqlBlobStore(database)
    dataset_id = new_id("ds")
    container = blobs.put_bytes(tenant_id, b"a container that was checked long ago")
    kept = [blobs.put_bytes(tenant_id, picture(number)) for number in range(num_images)]
    with database.write() as session:
        session.add(
            Dataset(
                id=dataset_id,
                tenant_id=tenant_id,
                name="mugs and plates",
                status="ready",
                num_images=num_images,
                classes=[{"name": label, "num_images": 1} for label in labels],
                source_bytes=container.size,
                source_sha256=container.sha256,
            )
        )
        session.flush()
        for seq, blob in enumerate(kept):
            label = labels[seq % len(labels)] if labels else None
            session.add(
                Image(
                    id=new_id("img"),
                    tenant_id=tenant_id,
                    dataset_id=dataset_id,
                    seq=seq,
                    path=f"{label or 'unlabelled'}/{seq}.png",
                    label=label,
                    verdict="ok",
                    sha256=blob.sha256,
                    width=16,
                    height=16,
                )
            )
    return dataset_id


def submit(
    database: Database,
    tenant_id: str,
    dataset_id: str,
    *,
    seed: int = 0,
    milliseconds: int = 1,
    priority: int = 0,
    minutes: int = 60,
) -> str:
    """Queue a training job as the API does and return its id."""
    submission = JobSubmission(
        dataset=dataset_id,
        seed=seed,
        name="mugs",
        priority=priority,
        hyperparameters=Hyperparameters(epochs=milliseconds),
        limits=Limits(max_minutes=minutes),
    )
    with database.write() as session:
        job_id: str = jobs.submit(session, tenant_id, submission, "cpu").job.id
    return job_id


def upload(database: Database, tenant_id: str, files: Mapping[str, bytes]) -> tuple[str, str]:
    """Queue the ingest of a zip of these files; return the ids of the dataset and of its job."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return upload_container(database, tenant_id, packed.getvalue())


def upload_container(database: Database, tenant_id: str, data: bytes) -> tuple[str, str]:
    """Queue the ingest of a container; return the ids of the dataset and of its job."""
    container = SqlBlobStore(database).put_bytes(tenant_id, data)
    with database.write() as session:
        dataset = datasets.create(session, tenant_id, NewDataset("upload", container, {}))
        job_id = session.scalars(select(Job.id).where(Job.dataset_id == dataset.id)).one()
    return dataset.id, job_id


def picture(number: int, size: tuple[int, int] = (16, 16), kind: str = "PNG") -> bytes:
    """Return an encoded image, another one for each number."""
    digest = hashlib.sha256(str(number).encode()).digest()
    image = Pillow.frombytes("RGB", (2, 2), digest[:12]).resize(size, Pillow.Resampling.NEAREST)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def job(database: Database, job_id: str) -> Job:
    """Return a job's row as it is now."""
    with database.read() as session:
        return session.scalars(select(Job).where(Job.id == job_id)).one()


def history(database: Database, job_id: str) -> list[tuple[str | None, str]]:
    """Return the moves of a job in their order, as pairs of statuses."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.type == "status")
    with database.read() as session:
        rows = session.scalars(query.order_by(JobEvent.seq)).all()
    return [(_text(row.data["from"]), str(row.data["to"])) for row in rows]


def wait_for(probe: Callable[[], Found | None], seconds: float = 20.0) -> Found:
    """Return what `probe` returns once it is truthy; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{probe} stayed {found!r} for {seconds} s")
        time.sleep(0.02)
    return found


def _text(value: object) -> str | None:
    return None if value is None else str(value)
