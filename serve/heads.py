"""A model without its backbone: labels, thresholds, preprocessing, and the head's two tensors.

Everything is read from the model's own files, each checked against its sha256.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load
from sqlalchemy.orm import Session

from core.blobs import BlobCorruptError, BlobStore
from core.refusals import RefusedError
from db.blobs import SqlBlobStore
from db.repositories import models
from db.repositories.models import Segment, StoredFile
from db.session import Database
from regraft.contract.drift import REFERENCE_FILE
from regraft.contract.errors import ErrorCode
from serve.drift import Reference
from serve.messages import Preprocess
from worker.engine.shipped.predict import Floats

_FILES = ("model.onnx", "head.safetensors", "labels.json", "preprocess.json")
_SEGMENTS = 2  # of `model.onnx`: the backbone, and the head's patch
_MATRIX = 2


class Head(NamedTuple):
    """`weight` [c, d] and `bias` [c], calibrated, for features of the backbone in `graph`.

    A label is answered from its threshold on, never where that is null. `reference` is what the
    training images looked like, null for a model that has none.
    """

    labels: tuple[str, ...]
    thresholds: tuple[float | None, ...]
    preprocess: Preprocess
    weight: Floats
    bias: Floats
    graph: Segment
    whole: StoredFile
    reference: Reference | None = None

    @property
    def num_bytes(self) -> int:
        """What it takes of memory: the tensors, and roughly the rest."""
        known = 0 if self.reference is None else self.reference.num_bytes
        return self.weight.nbytes + self.bias.nbytes + 200 * len(self.labels) + known

    def probabilities(self, features: Floats) -> Floats:
        """Return the probabilities [n, c] of features [n, d], as the exported graph computes."""
        logits = features @ self.weight.T + self.bias
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Floats = raised / raised.sum(axis=1, keepdims=True)
        return found


class _Labels(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    labels: tuple[str, ...]
    thresholds: tuple[float | None, ...]


class Files:
    """What models are made of, read from the database and checked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def head(self, tenant_id: str, model_id: str) -> Head:
        """Return a model's head.

        Raises `not_found`, `not_servable`, or `BlobCorruptError` for a file that was altered.
        """
        database = self._database.of(tenant_id)
        blobs = SqlBlobStore(database)
        with database.read() as session:
            files = _located(session, tenant_id, model_id)
            known = models.file_if_any(session, tenant_id, model_id, REFERENCE_FILE)
        whole, head, labels, preprocess = files
        try:
            named = _Labels.model_validate_json(_content(blobs, labels))
            weight, bias = _tensors(_content(blobs, head))
            prepared = Preprocess.model_validate_json(_content(blobs, preprocess))
            reference = known and Reference.of(_content(blobs, known), weight.shape[1])
        except (ValidationError, ValueError) as error:
            raise BlobCorruptError(model_id) from error
        if reference is not None and len(reference.counts) != len(weight):
            raise BlobCorruptError(model_id)
        counts = {len(named.labels), len(named.thresholds), len(weight), len(bias)}
        if len(counts) != 1:
            raise BlobCorruptError(model_id)
        return Head(
            *(named.labels, named.thresholds, prepared, weight, bias),
            graph=whole.segments[0],
            whole=whole,
            reference=reference,
        )

    def deleted(self, keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of some models, by tenant and id, that are there no more."""
        by_tenant: dict[str, list[str]] = {}
        for tenant_id, model_id in keys:
            by_tenant.setdefault(tenant_id, []).append(model_id)
        gone: set[tuple[str, str]] = set()
        for tenant_id, ids in by_tenant.items():
            with self._database.of(tenant_id).read() as session:
                living = models.living(session, tenant_id, ids)
            gone |= {(tenant_id, one) for one in ids if one not in living}
        return gone

    def backbone(self, tenant_id: str, head: Head) -> bytes:
        """Return the serialised backbone of a model, its `model.onnx` checked as a whole."""
        blobs = SqlBlobStore(self._database.of(tenant_id))
        return _content(blobs, head.whole)[: head.graph.length]


def _located(session: Session, tenant_id: str, model_id: str) -> list[StoredFile]:
    """Return where the needed files lie; raises `not_found` or `not_servable`."""
    model = models.find(session, tenant_id, model_id)
    found = [models.file_if_any(session, tenant_id, model.id, name) for name in _FILES]
    files = [file for file in found if file is not None]
    if len(files) < len(_FILES) or len(files[0].segments) != _SEGMENTS:
        raise RefusedError(
            ErrorCode.NOT_SERVABLE, "The model was exported without what serving needs.", "ref"
        )
    return files


def _content(blobs: BlobStore, file: StoredFile) -> bytes:
    """Return a file's bytes; raises `BlobCorruptError` where they are not what was stored."""
    pieces = [
        piece
        for part in file.segments
        for piece in blobs.read(part.scope, part.sha256, part.offset, part.length)
    ]
    content = b"".join(pieces)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise BlobCorruptError(f"{file.model_id}/{file.name}")
    return content


def _tensors(content: bytes) -> tuple[Floats, Floats]:
    """Return the weight [c, d] and bias [c] of a `head.safetensors`; raises `ValueError`."""
    try:
        found = load(content)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError("no safetensors") from error
    by_kind = {name.rpartition(".")[2]: value for name, value in found.items()}
    if set(by_kind) != {"weight", "bias"} or by_kind["weight"].ndim != _MATRIX:
        raise ValueError("no head")
    return by_kind["weight"].astype(np.float32), by_kind["bias"].astype(np.float32)
