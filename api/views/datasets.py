"""Datasets: upload, list, show, and the verdict on each image."""

from flask import Response
from pydantic import Field

from api import containers, repeatable, shown
from api.routing import Call, PageQuery, Routes, checked
from api.transfers import HEADERS, download_in_turn
from api.uploads import Form, parsed_object
from db.repositories import datasets, uploads
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
_THUMBNAIL = "image/jpeg"
_FORM = {
    "type": "object",
    "required": ["name"],
    "anyOf": [{"required": ["file"]}, {"required": ["upload"]}],
    "additionalProperties": False,
    "properties": {
        "file": {
            "type": "string",
            "contentMediaType": "application/zip",
            "description": "A zip, or a parquet file with a row for each image.",
        },
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
    errors=containers.ERRORS,
    repeatable=True,
    form=_FORM,
    headers=containers.HEADERS,
)
def create_dataset(call: Call) -> Response:
    """Upload a zip of images, one folder for each class, or with a manifest; or a parquet file.

    The container is checked before anything is stored; then the images are checked one by one
    while the dataset is `processing`.
    """
    with containers.received(call, Form(frozenset(UploadFields.model_fields))) as upload:
        fields = _fields(upload.fields)
        repeat = repeatable.claim({**fields.model_dump(), "sha256": upload.sha256})
        first = repeatable.replayed(call, repeat)
        if first is not None:
            return first
        found = containers.stored(call, upload) if upload.has_file else None

    def create(session: Transaction) -> Dataset:
        if found is None:
            taken = str(fields.upload)
            container = uploads.take(session, call.tenant_id, taken, least_classes=2)
        else:
            container = found.container
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


@routes.add(
    "GET",
    "/v1/datasets/{dataset_id}/images/{image_id}/thumbnail",
    None,
    sends=_THUMBNAIL,
    errors=(ErrorCode.RANGE_NOT_SATISFIABLE, ErrorCode.ARTIFACT_CORRUPT),
    headers=HEADERS,
)
def download_thumbnail(call: Call, dataset_id: str, image_id: str) -> Response:
    """Download a small JPEG of a picture, made when it was checked: it fits in 256 x 256 pixels."""
    with call.database.read() as session:
        stored = datasets.stored_thumbnail(session, call.tenant_id, dataset_id, image_id)
    return download_in_turn(call, stored, _THUMBNAIL)


def _fields(texts: dict[str, str]) -> UploadFields:
    values: dict[str, object] = dict(texts)
    if "metadata" in texts:
        values["metadata"] = parsed_object(texts["metadata"], "metadata")
    return checked(UploadFields, values)
