"""Versions of a dataset: images added, relabelled and removed, and the old version untouched."""

from typing import Annotated, Any

from flask import Response
from pydantic import AfterValidator, Field

from api import containers, repeatable, shown
from api.routing import Call, Routes, checked
from api.uploads import Form, parsed_list, parsed_object
from core.class_names import is_plain
from core.refusals import InvalidError
from db.repositories import datasets, uploads, versions
from db.repositories.idempotency import Transaction
from db.repositories.versions import Changes, NewVersion
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import ImageId, UploadId
from regraft.contract.naming import Metadata, Text
from regraft.contract.resources import Dataset
from regraft.contract.strict import Strict

routes = Routes()
_LONG = frozenset({"relabel", "remove"})
_FORM = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "file": {
            "type": "string",
            "contentMediaType": "application/zip",
            "description": "Images to add, as for a new dataset; one class is enough.",
        },
        "upload": {"type": "string", "description": "In place of `file`: a complete upload."},
        "relabel": {
            "type": "string",
            "description": "A JSON object: the new label by image id, null for none.",
        },
        "remove": {"type": "string", "description": "A JSON array of image ids."},
        "name": {"type": "string", "minLength": 1, "maxLength": 200},
        "metadata": {"type": "string", "description": "A JSON object of texts."},
    },
}


def _legible(label: str) -> str:
    if not is_plain(label) or not label.strip():
        raise ValueError("must be visible text without control characters")
    return label


Label = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_legible)]


class VersionFields(Strict):
    """What changes from one version to the next; a name and metadata else stay the parent's."""

    upload: UploadId | None = None
    relabel: dict[ImageId, Label | None] = Field(default_factory=dict)
    remove: list[ImageId] = Field(default_factory=list)
    name: Text | None = None
    metadata: Metadata | None = None


@routes.add(
    "POST",
    "/v1/datasets/{dataset_id}/versions",
    Dataset,
    scope="write",
    status=202,
    errors=(*containers.ERRORS, ErrorCode.DATASET_NOT_READY),
    repeatable=True,
    form=_FORM,
    headers=containers.HEADERS,
)
def create_version(call: Call, dataset_id: str) -> Response:
    """Make the next version of a dataset: add images, relabel some, remove some.

    Images that stay are shared with the version before, not copied, but for those that it left
    out. All are compared anew, while the version is `processing`.
    """
    with call.database.read() as session:
        datasets.find(session, call.tenant_id, dataset_id)
    form = Form(frozenset(VersionFields.model_fields), _LONG, wants_file=False)
    with containers.received(call, form) as upload:
        fields = _fields(upload.fields, has_file=upload.has_file)
        repeat = repeatable.claim({**fields.model_dump(), "sha256": upload.sha256})
        first = repeatable.replayed(call, repeat)
        if first is not None:
            return first
        found = containers.stored(call, upload, least_classes=1) if upload.has_file else None

    def create(session: Transaction) -> Dataset:
        container = found and found.container
        if fields.upload is not None:
            container = uploads.take(session, call.tenant_id, fields.upload)
        new = NewVersion(
            changes=Changes(fields.relabel, fields.remove),
            container=container,
            labels=found.labels if found else (),
            name=fields.name,
            metadata=fields.metadata,
        )
        limits = call.services.settings.uploads
        owner = call.tenant_id
        made = versions.create(session, owner, dataset_id, new, call.actor, limits=limits)
        return shown.dataset(made)

    return repeatable.once(call, repeat, 202, create)


def _fields(texts: dict[str, str], *, has_file: bool) -> VersionFields:
    values: dict[str, Any] = dict(texts)
    for name in values.keys() & {"relabel", "metadata"}:
        values[name] = parsed_object(texts[name], name)
    if "remove" in texts:
        values["remove"] = parsed_list(texts["remove"], "remove")
    fields = checked(VersionFields, values)
    _check_once(fields)
    if not (has_file or fields.upload or fields.relabel or fields.remove):
        message = "is required, or an `upload`, or `relabel` or `remove`: nothing would change"
        raise InvalidError("file", message, "missing")
    return fields


def _check_once(fields: VersionFields) -> None:
    """Raise `InvalidError` for an image that is removed twice, or relabelled as well."""
    seen = set(fields.relabel)
    for place, image in enumerate(fields.remove):
        if image in seen:
            message = "names an image that is named before, here or in `relabel`"
            raise InvalidError(f"remove.{place}", message)
        seen.add(image)
