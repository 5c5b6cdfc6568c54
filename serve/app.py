"""The serving process as a WSGI application: what the API asks, and two probes.

Errors are the contract's envelope; the API passes them on. May import flask and this room.
"""

import hmac
from typing import NamedTuple

from flask import Flask, Response, request
from pydantic import BaseModel
from werkzeug.exceptions import HTTPException

from core.blobs import BlobCorruptError, BlobNotFoundError
from core.logs import logger
from core.refusals import RefusedError
from core.serving import Asked, MalformedError, Sought, Wish, authorization, read
from core.settings import Settings
from db.failures import code_of
from db.readiness import is_migrated
from db.session import Database
from regraft.contract.errors import ErrorBody, ErrorCode, ErrorEnvelope
from serve.answers import Answers
from serve.decoders import Decoders
from serve.heads import Files
from serve.monitor import Monitor
from serve.residents import Residents
from serve.settings import ServeSettings
from serve.upkeep import Upkeep
from serve.vectors import Shelves

NAME = "regraft-serve"
_OVERHEAD = 1024 * 1024  # of the line before the photos
_log = logger(__name__)


class Parts(NamedTuple):
    """What an application holds until its process ends."""

    residents: Residents
    decoders: Decoders
    monitor: Monitor
    shelves: Shelves
    upkeep: Upkeep


def create_app(settings: Settings, given: ServeSettings, database: Database) -> Flask:
    """Return the application; its decoders and its upkeep run until this process ends."""
    files = Files(database)
    decoders = Decoders(given.decoders, settings.uploads, given.decode_seconds, given.queued)
    residents = Residents(files, given)
    monitor = Monitor(database, given.drift_seconds)
    shelves = Shelves(database, given)
    answers = Answers(residents, decoders, monitor, shelves)
    app = Flask(NAME, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.serving.max_bytes + _OVERHEAD
    upkeep = Upkeep(residents, given.upkeep)
    app.extensions[NAME] = Parts(residents, decoders, monitor, shelves, upkeep)
    app.register_error_handler(Exception, _refusal)
    secret = settings.serving.secret

    def taken(kind: type[Wish]) -> tuple[Wish, list[bytes]]:
        said, wanted = request.headers.get("Authorization", ""), authorization(secret)
        if not hmac.compare_digest(said.encode(), wanted.encode()):
            raise RefusedError(ErrorCode.UNAUTHENTICATED, "The secret is not this process's.")
        return read(request.stream, kind)

    @app.post("/predict")
    def predict() -> Response:
        return _json(answers.predict(*taken(Asked)))

    @app.post("/embed")
    def embed() -> Response:
        return _json(answers.embed(*taken(Asked)))

    @app.post("/search")
    def search() -> Response:
        return _json(answers.search(*taken(Sought)))

    @app.get("/healthz")
    def healthz() -> Response:
        return Response(status=204)

    @app.get("/readyz")
    def readyz() -> Response:
        return Response(status=204 if is_migrated(database) else 503)

    return app


def close(app: Flask) -> None:
    """End the application's decoders and what runs beside it."""
    parts: Parts = app.extensions[NAME]
    parts.upkeep.close()
    parts.decoders.close()
    parts.monitor.close()
    parts.shelves.close()


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), content_type="application/json")


def _refusal(error: Exception) -> Response:
    """Return the envelope of any error; an altered file is an alarm in the log."""
    refused = _as_refused(error)
    body = ErrorBody(
        type="service_error", code=refused.code, message=refused.message, param=refused.param
    )
    envelope = ErrorEnvelope(error=body).model_dump_json()
    return Response(envelope, refused.http_status, content_type="application/json")


def _as_refused(error: Exception) -> RefusedError:
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, MalformedError | HTTPException):
        return RefusedError(ErrorCode.INVALID_REQUEST, "The request could not be read.")
    if isinstance(error, BlobCorruptError | BlobNotFoundError):
        _log.error("stored bytes do not match their hash", blob=str(error))
        return RefusedError(ErrorCode.ARTIFACT_CORRUPT, "The stored model is damaged.")
    code = code_of(error)
    if code is not None:
        _log.warning("storage trouble", code=code.value, reason=type(error).__name__)
        return RefusedError(code, "The service cannot do this now.")
    _log.error("request failed", exc_info=error)
    return RefusedError(ErrorCode.INTERNAL, "Something went wrong on our side.")
