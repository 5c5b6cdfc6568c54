"""The API under test: requests as a merchant makes them, and rows as workers leave them."""

import hashlib
import io
import weakref
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from api.app import create_app
from api.services import NAME
from core.settings import Settings
from db.base import Base
from db.blobs import SqlBlobStore
from db.models import (
    BatchFile,
    BatchPart,
    Dataset,
    FileSegment,
    Image,
    Job,
    JobResult,
    Model,
    ModelFile,
)
from db.session import Database
from regraft.contract.batch import BatchSpec
from regraft.contract.ids import new_id
from tests.support.merchants import Merchant

TWO_CLASSES = {"mug/a.jpg": b"a" * 50, "mug/b.jpg": b"b" * 50, "cup/c.jpg": b"c" * 50}


def zipped(files: Mapping[str, bytes] = TWO_CLASSES) -> bytes:
    """Return a zip of these files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            # The time would be in the bytes, and two zips of the same files would differ.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return target.getvalue()


class Trained(NamedTuple):
    """A finished job and its model, as a worker leaves them."""

    dataset_id: str
    job_id: str
    model_id: str
    files: dict[str, bytes]


class Api:
    """An application over one database, called through its WSGI interface."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.app: Flask = create_app(settings, database)
        self.client: FlaskClient = self.app.test_client()
        # The database of merchants' requests is the application's own, and ends with it.
        weakref.finalize(self, self.app.extensions[NAME].merchants.dispose)

    def get(self, path: str, merchant: Merchant | None, **given: Any) -> TestResponse:
        """GET as a merchant."""
        return self.send("GET", path, merchant, **given)

    def post(self, path: str, merchant: Merchant | None, **given: Any) -> TestResponse:
        """POST as a merchant."""
        return self.send("POST", path, merchant, **given)

    def send(self, method: str, path: str, merchant: Merchant | None, **given: Any) -> TestResponse:
        """Send any request as a merchant, or as nobody."""
        headers = {**(merchant.headers if merchant else {}), **given.pop("headers", {})}
        return self.client.open(path, method=method, headers=headers, **given)

    def upload(
        self, merchant: Merchant | None, data: bytes | None = None, **given: Any
    ) -> TestResponse:
        """Upload a zip, of two classes unless told otherwise."""
        form = {
            "name": "home goods",
            "file": (io.BytesIO(zipped() if data is None else data), "set.zip"),
            **given.pop("form", {}),
        }
        return self.post("/v1/datasets", merchant, data=form, **given)

    def ready_dataset(self, merchant: Merchant, labels: Sequence[str] = ()) -> str:
        """Upload a set and leave it as a finished ingest does, with an image of each label."""
        dataset_id: str = self.upload(merchant).get_json()["id"]
        classes = [{"name": label, "num_images": 1} for label in labels]
        checked = {"status": "ready", "classes": classes}
        with self.database.write() as session:
            session.execute(update(Dataset).where(Dataset.id == dataset_id).values(checked))
            session.execute(
                update(Job).where(Job.dataset_id == dataset_id).values(status="succeeded")
            )
        return dataset_id

    def complete_upload(self, merchant: Merchant, data: bytes) -> str:
        """Send a file in one part, and complete the upload; return its id."""
        file = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        upload: str = self.post("/v1/uploads", merchant, json=file).get_json()["id"]
        path, kind = f"/v1/uploads/{upload}", {"Content-Type": "application/octet-stream"}
        assert self.send("PUT", f"{path}/parts/1", merchant, data=data, headers=kind).status_code
        assert self.post(f"{path}/complete", merchant).get_json()["status"] == "complete"
        return upload

    def add_image(
        self,
        merchant: Merchant,
        dataset_id: str,
        seq: int,
        verdict: str,
        data: bytes | None = None,
    ) -> str:
        """Add an image's verdict and, where it was kept, its clean copy, as ingest does.

        Its thumbnail are the first 16 bytes.
        """
        image_id = new_id("img")
        blobs = SqlBlobStore(self.database)
        kept, small = (
            None if part is None else blobs.put_bytes(merchant.tenant_id, part).sha256
            for part in (data, data and data[:16])
        )
        with self.database.write() as session:
            session.add(
                Image(
                    id=image_id,
                    tenant_id=merchant.tenant_id,
                    dataset_id=dataset_id,
                    seq=seq,
                    path=f"mug/{seq}.jpg",
                    label="mug",
                    verdict=verdict,
                    sha256=kept,
                    thumbnail_sha256=small,
                )
            )
        return image_id

    def submit(self, merchant: Merchant, dataset_id: str, **spec: Any) -> TestResponse:
        """Submit a job."""
        return self.post("/v1/jobs", merchant, json={"dataset": dataset_id, **spec})

    def trained(
        self, merchant: Merchant, files: Mapping[str, list[bytes]], **model: Any
    ) -> Trained:
        """Leave a finished job with a model; a file is the concatenation of its segments.

        `model` gives columns of the model's row.
        """
        dataset_id = self.ready_dataset(merchant)
        job_id: str = self.submit(merchant, dataset_id).get_json()["id"]
        model_id = new_id("md")
        with self.database.write() as session:
            done = {"status": "succeeded", "started_at": 1.0, "finished_at": 2.5}
            session.execute(update(Job).where(Job.id == job_id).values(done))
            session.add(_model(merchant, job_id, model_id, model))
            session.flush()
            session.add(_result(merchant, job_id, model_id))
        for name, segments in files.items():
            self._store(merchant, model_id, name, segments)
        whole = {name: b"".join(segments) for name, segments in files.items()}
        return Trained(dataset_id, job_id, model_id, whole)

    def answered(self, merchant: Merchant, made: Trained, parts: list[bytes]) -> str:
        """Leave a finished batch of a model over its own dataset, its file in parts."""
        batch_id = new_id("job")
        blobs = SqlBlobStore(self.database)
        owner = {"job_id": batch_id, "tenant_id": merchant.tenant_id}
        kept = [blobs.put_bytes(merchant.tenant_id, part) for part in parts]
        whole = b"".join(parts)
        spec = BatchSpec(dataset=made.dataset_id, model=made.model_id).model_dump(mode="json")
        with self.database.write() as session:
            session.add(
                Job(
                    id=batch_id,
                    tenant_id=merchant.tenant_id,
                    kind="batch",
                    device_class="cpu",
                    spec=spec,
                    dataset_id=made.dataset_id,
                    status="succeeded",
                )
            )
            session.flush()
            session.add(_result(merchant, batch_id, None))
            for seq, blob in enumerate(kept):
                facts = {"sha256": blob.sha256, "size": blob.size, "num_rows": 2, "num_errors": 1}
                session.add(BatchPart(**owner, seq=seq, **facts))
            sha256 = hashlib.sha256(whole).hexdigest()
            counts = {"num_rows": 2 * len(parts), "num_errors": len(parts)}
            session.add(BatchFile(**owner, size=len(whole), sha256=sha256, **counts))
        return batch_id

    def _store(self, merchant: Merchant, model_id: str, name: str, segments: list[bytes]) -> None:
        blobs = SqlBlobStore(self.database)
        whole = b"".join(segments)
        sha256 = hashlib.sha256(whole).hexdigest()
        owner = {"tenant_id": merchant.tenant_id, "model_id": model_id}
        # A segment is a range within a longer blob, as the backbone's bytes are.
        stored = [blobs.put_bytes(merchant.tenant_id, b"##" + data + b"##") for data in segments]
        with self.database.write() as session:
            session.add(ModelFile(**owner, name=name, size=len(whole), sha256=sha256))
            session.flush()
            for seq, (blob, data) in enumerate(zip(stored, segments, strict=True)):
                session.add(
                    FileSegment(
                        **owner,
                        file_name=name,
                        seq=seq,
                        scope=merchant.tenant_id,
                        blob_sha256=blob.sha256,
                        offset=2,
                        length=len(data),
                    )
                )

    def row_counts(self) -> dict[str, int]:
        """Return how many rows each table holds: what a refused request must not change."""
        with self.database.read() as session:
            return {
                table.name: session.scalar(select(func.count()).select_from(table)) or 0
                for table in Base.metadata.sorted_tables
            }

    def stray_files(self) -> list[Path]:
        """Return what uploads left on the disk."""
        return list(self._uploaded())

    def _uploaded(self) -> Iterator[Path]:
        folder = self.settings.home / "uploads"
        return folder.rglob("*") if folder.is_dir() else iter(())


def error_of(response: TestResponse) -> dict[str, Any]:
    """Return the error of an answer, having checked that it is the contract's envelope."""
    assert response.content_type == "application/json", response.data
    body = response.get_json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"type", "code", "message", "param", "remedy", "request_id", "details"}
    assert error["request_id"] == response.headers["X-Request-Id"]
    assert "Traceback" not in response.text
    return error


def _model(merchant: Merchant, job_id: str, model_id: str, given: Mapping[str, Any]) -> Model:
    values: dict[str, Any] = {
        "name": f"model-{job_id[-12:]}",
        "version": 1,
        "backbone": "efficientnet_lite0",
        "strategy": "linear_probe",
        "labels": ["cup", "mug"],
        "metrics": {"validation": None, "test": None},
        "transfer": {"explanation": "because"},
        "lineage": {},
    }
    owner = {"id": model_id, "tenant_id": merchant.tenant_id, "job_id": job_id}
    return Model(**{**values, **given, **owner})


def _result(merchant: Merchant, job_id: str, model_id: str | None) -> JobResult:
    return JobResult(
        job_id=job_id,
        tenant_id=merchant.tenant_id,
        fence=1,
        model_id=model_id,
        metrics={"validation": None, "test": None},
        transfer={"explanation": "because"},
        usage={"device_seconds": 1.5, "num_images": 3},
    )
