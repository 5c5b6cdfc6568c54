"""Trained models and the download of their files."""

import re

from flask import Response
from pydantic import Field

from api import shown
from api.routing import Call, PageQuery, Routes
from api.transfers import HEADERS, download_in_turn
from core.refusals import NotFoundError
from db.repositories import drift, models
from db.repositories.reading import Window
from regraft.contract.drift import Drift
from regraft.contract.errors import ErrorCode
from regraft.contract.naming import MODEL_NAME_PATTERN
from regraft.contract.registry import Deleted
from regraft.contract.resources import Model, ModelFile, Page

routes = Routes()
_FILE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)


class ModelQuery(PageQuery):
    """Which models to list."""

    name: str | None = Field(default=None, pattern=MODEL_NAME_PATTERN)


@routes.add("GET", "/v1/models", Page[Model])
def list_models(call: Call, query: ModelQuery) -> Page[Model]:
    """List models, or the versions of one name, newest first."""
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = models.listed(session, call.tenant_id, query.name, window)
    return shown.page(rows, shown.model)


@routes.add("GET", "/v1/models/{ref}", Model)
def show_model(call: Call, ref: str) -> Model:
    """Show one model."""
    with call.database.read() as session:
        return shown.model(models.show(session, call.tenant_id, ref))


@routes.add("GET", "/v1/models/{ref}/drift", Drift)
def show_drift(call: Call, ref: str) -> Drift:
    """Show whether the photos that a model is asked about still look like its training images."""
    with call.database.read() as session:
        return shown.drift(drift.show(session, call.tenant_id, ref))


@routes.add("DELETE", "/v1/models/{ref}", Deleted, scope="write", errors=(ErrorCode.IN_USE,))
def delete_model(call: Call, ref: str) -> Deleted:
    """Delete a model and its files; what was made from it keeps its lineage."""
    with call.database.write() as session:
        model_id = models.remove(session, call.tenant_id, ref, call.actor)
    return Deleted(id=model_id, object="model")


@routes.add("GET", "/v1/models/{ref}/files", Page[ModelFile])
def list_files(call: Call, ref: str, query: PageQuery) -> Page[ModelFile]:
    """List a model's files with their sizes and hashes, by name."""
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = models.files(session, call.tenant_id, ref, window)
    return shown.page(rows, shown.file)


@routes.add(
    "GET",
    "/v1/models/{ref}/files/{file}",
    None,
    errors=(ErrorCode.RANGE_NOT_SATISFIABLE, ErrorCode.ARTIFACT_CORRUPT),
    headers=HEADERS,
)
def download_file(call: Call, ref: str, file: str) -> Response:
    """Download a file of a model, whole or one range of it."""
    if not _FILE_NAME.fullmatch(file):
        raise NotFoundError("file")
    with call.database.read() as session:
        stored = models.stored_file(session, call.tenant_id, ref, file)
    return download_in_turn(call, stored)
