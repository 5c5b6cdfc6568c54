"""Trained models and the download of their files."""

import re
from functools import partial

from flask import Response

from api import shown
from api.downloads import PIECE_BYTES, download
from api.routing import Call, PageQuery, Routes
from core.refusals import NotFoundError
from db.repositories import models
from db.repositories.reading import Window
from regraft.contract.errors import ErrorCode
from regraft.contract.resources import Model, ModelFile, Page

routes = Routes()
_FILE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)


@routes.add("GET", "/v1/models", Page[Model])
def list_models(call: Call, query: PageQuery) -> Page[Model]:
    """List models, newest first."""
    with call.services.database.read() as session:
        rows = models.listed(session, call.tenant_id, Window(query.limit, query.cursor))
    return shown.page(rows, shown.model)


@routes.add("GET", "/v1/models/{model_id}", Model)
def show_model(call: Call, model_id: str) -> Model:
    """Show one model."""
    with call.services.database.read() as session:
        return shown.model(models.show(session, call.tenant_id, model_id))


@routes.add("GET", "/v1/models/{model_id}/files", Page[ModelFile])
def list_files(call: Call, model_id: str, query: PageQuery) -> Page[ModelFile]:
    """List a model's files with their sizes and hashes, by name."""
    window = Window(query.limit, query.cursor)
    with call.services.database.read() as session:
        rows = models.files(session, call.tenant_id, model_id, window)
    return shown.page(rows, shown.file)


@routes.add(
    "GET",
    "/v1/models/{model_id}/files/{name}",
    None,
    errors=(ErrorCode.RANGE_NOT_SATISFIABLE, ErrorCode.ARTIFACT_CORRUPT),
    headers={
        "Range": "One range of bytes, such as `bytes=0-1023` or `bytes=-512`.",
        "If-Range": "An ETag: the range is served only if the file is still that one.",
        "If-None-Match": "An ETag: 304 if the file is still that one.",
    },
)
def download_file(call: Call, model_id: str, name: str) -> Response:
    """Download a file of a model, whole or one range of it."""
    if not _FILE_NAME.fullmatch(name):
        raise NotFoundError("file")
    with call.services.database.read() as session:
        stored = models.stored_file(session, call.tenant_id, model_id, name)
    if stored.size <= PIECE_BYTES:
        return download(call.services.blobs, model_id, stored)
    gate = call.services.gates.downloads
    gate.enter(call.tenant_id)
    try:
        response = download(call.services.blobs, model_id, stored)
    except BaseException:
        gate.leave(call.tenant_id)
        raise
    response.call_on_close(partial(gate.leave, call.tenant_id))
    return response
