"""Datasets: upload, list, show, and the verdict on each image."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, request
from pydantic import Field

from api import repeatable, shown
from api.routing import Call, PageQuery, Routes, checked
from api.transfers import HEADERS, download_in_turn
from api.uploads import Upload, parsed_object, received
from core.archive import inspect
from core.blobs import BlobInfo
from db.repositories import datasets, quotas, uploads
from db.repositories.datasets import NewDataset
from db.repositories.idempotency import Transaction
from db.repositories.reading import Window
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import UploadId
from regraft.contract.naming import Metadata, Text
from regraft.contract.resources import Dataset, Image, Page
from regraft.contract.strict import Strict
from regraft.contract.verdict import Verdict

routes = Routes()
_UPLOAD_ERRORS = (
    ErrorCode.INVALID_MULTIPART,
    ErrorCode.INCOMPLETE_BODY,
    ErrorCode.REQUEST_TIMEOUT,
    ErrorCode.PAYLOAD_TOO_LARGE,
    ErrorCode.TOO_LARGE_UNCOMPRESSED,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.DATASET_INVALID,
    ErrorCode.UNSAFE_PATH,
    ErrorCode.UNSAFE_ENTRY,
    ErrorCode.TOO_MANY_ENTRIES,
    ErrorCode.TOO_MANY_CLASSES,
    ErrorCode.TOO_FEW_CLASSES,
    ErrorCode.QUOTA_EXCEEDED,
    ErrorCode.STORAGE_FULL,
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
)
_FORM = {
    "type": "object",
    "required": ["name"],
    "anyOf": [{"required": ["file"]}, {"required": ["upload"]}],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "contentMediaType": "application/zip"},
        "upload": {"type": "string", "description": "In place of `file`: a complete upload."},
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "metadata": {"type": "string", "description": "A JSON object of texts."},
    },
}


class UploadFields(Strict):
    """The text fields beside the file, or the `upload` in its place; `metadata` is JSON as text."""

    name: Text
    upload: UploadId | None = None
    metadata: Metadata = Field(default_factory=dict)


class ImageQuery(PageQuery):
    """Which images to list."""

    verdict: Verdict | None = None


@routes.add(
    "POST",
    "/v1/datasets",
    Dataset,
    scope="write",
    status=202,
    errors=_UPLOAD_ERRORS,
    repeatable=True,
    form=_FORM,
    headers={
        "Content-Digest": "RFC 9530: `sha-256=:…:` or `sha-512=:…:` of the whole body, checked.",
        "X-Content-SHA256": "The hash of the file in hex, checked.",
    },
)
def create_dataset(call: Call) -> Response:
    """Upload a zip of images, one folder for each class, or with a manifest.

    The container is checked before anything is stored; then the images are checked one by one
    while the dataset is `processing`.
    """
    with (
        _reserved(call, request.content_length or 0),
        received(call.services, frozenset(UploadFields.model_fields)) as upload,
    ):
        fields = _fields(upload.fields)
        repeat = repeatable.claim({**fields.model_dump(), "sha256": upload.sha256})
        first = repeatable.replayed(call, repeat)
        if first is not None:
            return first
        stored = _stored(call, upload) if fields.upload is None else None

    def create(session: Transaction) -> Dataset:
        container = stored or uploads.take(session, call.tenant_id, str(fields.upload))
        new = NewDataset(fields.name, container, fields.metadata)
        return shown.dataset(datasets.create(session, call.tenant_id, new))

    return repeatable.once(call, repeat, 202, create)


@routes.add("GET", "/v1/datasets", Page[Dataset])
def list_datasets(call: Call, query: PageQuery) -> Page[Dataset]:
    """List datasets, newest first."""
    with call.database.read() as session:
        rows = datasets.listed(session, call.tenant_id, Window(query.limit, query.cursor))
    return shown.page(rows, shown.dataset)


@routes.add("GET", "/v1/datasets/{dataset_id}", Dataset)
def show_dataset(call: Call, dataset_id: str) -> Dataset:
    """Show one dataset."""
    with call.database.read() as session:
        return shown.dataset(datasets.find(session, call.tenant_id, dataset_id))


@routes.add("GET", "/v1/datasets/{dataset_id}/images", Page[Image])
def list_images(call: Call, dataset_id: str, query: ImageQuery) -> Page[Image]:
    """List the uploaded files with their verdicts, in the order of the upload."""
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = datasets.images(session, call.tenant_id, dataset_id, query.verdict, window)
    return shown.page(rows, shown.image)


@routes.add(
    "GET",
    "/v1/datasets/{dataset_id}/images/{image_id}",
    None,
    errors=(ErrorCode.RANGE_NOT_SATISFIABLE, ErrorCode.ARTIFACT_CORRUPT),
    headers=HEADERS,
)
def download_image(call: Call, dataset_id: str, image_id: str) -> Response:
    """Download a picture as it is trained on: our own encoding, upright, without metadata."""
    with call.database.read() as session:
        stored = datasets.stored_image(session, call.tenant_id, dataset_id, image_id)
    return download_in_turn(call, stored)


@contextmanager
def _reserved(call: Call, size: int) -> Iterator[None]:
    """Hold bytes of the merchant's quota while a body comes; raises `QuotaError` before it does."""
    with call.database.write() as session:
        reservation = uploads.reserve(session, call.tenant_id, size)
    try:
        yield
    finally:
        if reservation is not None:
            with call.database.write() as session:
                uploads.release(session, reservation)


def _stored(call: Call, upload: Upload) -> BlobInfo:
    """Check and store a container; what came in chunks, unannounced, is admitted here."""
    inspect(upload.path, call.services.settings.uploads)
    if request.content_length is None:
        with call.database.read() as session:
            quotas.admit_bytes(session, call.tenant_id, upload.size)
    return call.blobs.put_file(call.tenant_id, upload.path)


def _fields(texts: dict[str, str]) -> UploadFields:
    values: dict[str, object] = dict(texts)
    if "metadata" in texts:
        values["metadata"] = parsed_object(texts["metadata"], "metadata")
    return checked(UploadFields, values)
