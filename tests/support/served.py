"""Models for the serving process: files and rows as a worker leaves them, on a small backbone."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from sqlalchemy import select
from werkzeug.serving import make_server

from core.blobs import SHARED_SCOPE, BlobInfo
from core.settings import Settings
from db.blobs import SqlBlobStore
from db.models import BlobChunk, FileSegment, Job, Model, ModelFile
from db.session import Database
from regraft.contract.ids import new_id
from serve.app import close, create_app
from serve.settings import ServeSettings
from tests.support.jobs import ready_dataset
from worker.engine.export import graph
from worker.engine.head import Head
from worker.engine.shipped.predict import Floats
from worker.engine.tensorfile import Entry, header

SIDE = 8
LABELS = ("blue", "green", "red")
PREPROCESS: dict[str, Any] = {
    "resize": SIDE,
    "input_size": SIDE,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bilinear",
}


class Part(NamedTuple):
    """A stored blob that is a segment of a file."""

    scope: str
    blob: BlobInfo


def tiny_backbone(side: int = SIDE) -> bytes:
    """Return a backbone without an output, as the export makes it: the mean of each channel."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, side, side])
    model = helper.make_model(
        helper.make_graph(nodes, "model", [images], []),
        opset_imports=[helper.make_opsetid("", graph.OPSET)],
        ir_version=10,
    )
    return bytes(model.SerializeToString(deterministic=True))


def colour_head(sharpness: float = 4.0) -> Head:
    """Return a head that tells the channels of `tiny_backbone` apart; `LABELS` are its labels."""
    return Head(sharpness * torch.eye(3).flip(0), torch.zeros(3), None)


def files_of(
    head: Head, labels: Sequence[str], thresholds: Sequence[float | None], preprocess: object
) -> dict[str, bytes]:
    """Return the files of a model but for its backbone, whose patch is under `model.onnx`."""
    values = {"classifier.weight": head.weight, "classifier.bias": head.bias}
    entries = [
        Entry(name, "F32", tuple(value.shape), value.numel() * 4) for name, value in values.items()
    ]
    tensors = b"".join(value.contiguous().numpy().tobytes() for value in values.values())
    return {
        "model.onnx": graph.head_patch(head),
        "head.safetensors": header(entries, {}) + tensors,
        "labels.json": json.dumps(
            {"labels": list(labels), "thresholds": list(thresholds), "wanted_precision": 0.95}
        ).encode(),
        "preprocess.json": json.dumps(preprocess).encode(),
    }


class Shelf:
    """Puts models into a database."""

    def __init__(self, database: Database, backbone: bytes | None = None) -> None:
        self.database = database
        self.blobs = SqlBlobStore(database)
        self.backbone = tiny_backbone() if backbone is None else backbone
        self.shared = Part(SHARED_SCOPE, self.blobs.put_bytes(SHARED_SCOPE, self.backbone))
        self._datasets: dict[str, str] = {}

    def add(
        self,
        tenant_id: str,
        head: Head | None = None,
        *,
        labels: Sequence[str] = LABELS,
        thresholds: Sequence[float | None] = (0.5, 0.5, 0.5),
        preprocess: object = PREPROCESS,
        own_backbone: bytes | None = None,
        without: str | None = None,
    ) -> str:
        """Add a model of a merchant and return its id; a fine-tuned one has its own backbone."""
        files = files_of(head or colour_head(), labels, thresholds, preprocess)
        files.pop(without or "", None)
        backbone = self.shared
        if own_backbone is not None:
            backbone = Part(tenant_id, self.blobs.put_bytes(tenant_id, own_backbone))
        model_id = self._model(tenant_id, labels)
        content = own_backbone or self.backbone
        for name, data in files.items():
            own = Part(tenant_id, self.blobs.put_bytes(tenant_id, data))
            is_graph = name == "model.onnx"
            parts = [backbone, own] if is_graph else [own]
            self._file(model_id, tenant_id, name, content + data if is_graph else data, parts)
        return model_id

    def add_file(self, model_id: str, tenant_id: str, name: str, data: bytes) -> None:
        """Add a file to a model, in one part."""
        part = Part(tenant_id, self.blobs.put_bytes(tenant_id, data))
        self._file(model_id, tenant_id, name, data, [part])

    def alter(self, model_id: str, name: str) -> None:
        """Change one byte of the last blob of a file, as a broken disk or an intruder does."""
        file = (FileSegment.model_id == model_id) & (FileSegment.file_name == name)
        last = select(FileSegment).where(file).order_by(FileSegment.seq.desc()).limit(1)
        with self.database.write() as session:
            part = session.scalars(last).one()
            mine = (BlobChunk.scope == part.scope) & (BlobChunk.sha256 == part.blob_sha256)
            chunk = session.scalars(select(BlobChunk).where(mine)).one()
            chunk.data = chunk.data[:-2] + bytes([chunk.data[-2] ^ 1]) + chunk.data[-1:]

    def folder(self, model_id: str, files: Mapping[str, bytes], at: Path) -> Path:
        """Write a model's files as its bundle unpacks to, for the shipped predictor."""
        folder = at / model_id
        folder.mkdir()
        for name, data in files.items():
            whole = self.backbone + data if name == "model.onnx" else data
            (folder / name).write_bytes(whole)
        return folder

    def _model(self, tenant_id: str, labels: Sequence[str]) -> str:
        if tenant_id not in self._datasets:
            self._datasets[tenant_id] = ready_dataset(self.database, tenant_id, labels=labels[:2])
        dataset_id = self._datasets[tenant_id]
        job_id, model_id = new_id("job"), new_id("md")
        job = {"tenant_id": tenant_id, "dataset_id": dataset_id, "spec": {}, "kind": "train"}
        with self.database.write() as session:
            session.add(Job(id=job_id, **job, device_class="cpu", status="succeeded"))
            session.flush()
            session.add(
                Model(
                    id=model_id,
                    tenant_id=tenant_id,
                    name=f"model-{model_id[-12:]}",
                    version=1,
                    job_id=job_id,
                    backbone="efficientnet_lite0",
                    strategy="linear_probe",
                    labels=list(labels),
                    metrics={"validation": None, "test": None},
                    transfer={"explanation": "because"},
                    lineage={},
                )
            )
        return model_id

    def _file(
        self, model_id: str, tenant_id: str, name: str, content: bytes, parts: Sequence[Part]
    ) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        owner = {"tenant_id": tenant_id, "model_id": model_id}
        with self.database.write() as session:
            session.add(ModelFile(**owner, name=name, size=len(content), sha256=sha256))
            session.flush()
            for seq, part in enumerate(parts):
                session.add(
                    FileSegment(
                        **owner,
                        file_name=name,
                        seq=seq,
                        scope=part.scope,
                        blob_sha256=part.blob.sha256,
                        offset=0,
                        length=part.blob.size,
                    )
                )


def random_head(num_labels: int, num_features: int, seed: int) -> Head:
    """Return a head of random numbers."""
    chance = torch.Generator().manual_seed(seed)
    weight = torch.randn(num_labels, num_features, generator=chance)
    return Head(weight / num_features**0.5, torch.zeros(num_labels), None)


def onnx_features(backbone: bytes, num_features: int, tensors: Floats) -> Floats:
    """Return the features of tensors by the export's own patch."""
    found = graph.run(
        backbone + graph.features_patch(num_features), graph.FEATURES, {graph.INPUT: tensors}
    )
    return np.asarray(found, dtype=np.float32)


def is_valid(model: bytes) -> None:
    """Raise where other tools would refuse a model."""
    onnx.checker.check_model(model, full_check=True)


@contextmanager
def listening(settings: Settings, database: Database) -> Iterator[str]:
    """Yield the address of a serving application over this database."""
    app = create_app(settings, ServeSettings(decoders=1, num_threads=1), database)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        close(app)
