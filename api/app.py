"""The application: `create_app` joins settings, database, routes and the headers of all answers."""

import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request

from api import doorstep, errors, uploads
from api.feed import Feed
from api.gates import Gates
from api.openapi import document_route
from api.rates import Rates
from api.services import NAME, Services
from api.serving import Serving
from api.settings import ApiSettings
from api.views import (
    administration,
    batches,
    catalog,
    datasets,
    erasures,
    jobs,
    models,
    operations,
    predictions,
    registry,
    search,
    versions,
    webhooks,
)
from api.views import uploads as upload_views
from core.logs import logger
from core.settings import Settings
from core.settings import settings as process_settings
from db.session import Database

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
}
ROUTES = (
    datasets.routes,
    versions.routes,
    upload_views.routes,
    jobs.routes,
    models.routes,
    predictions.routes,
    search.routes,
    batches.routes,
    registry.routes,
    webhooks.routes,
    erasures.routes,
    administration.routes,
    catalog.routes,
    operations.routes,
)


def create_app(settings: Settings | None = None, database: Database | None = None) -> Flask:
    """Return a WSGI application; settings and database default to the process's own."""
    settings = settings or process_settings()
    api = ApiSettings()
    system, merchants = _databases(settings, api, database)
    app = Flask(NAME, static_folder=None)
    app.url_map.merge_slashes = False
    app.extensions[NAME] = Services(
        settings,
        api,
        system,
        merchants,
        Gates.of(api),
        Rates.of(api),
        Feed(system),
        Serving(settings.serving),
    )
    app.before_request(_begin)
    app.before_request(doorstep.check)
    app.after_request(_finish)
    errors.register(app)
    for routes in (*ROUTES, document_route(ROUTES)):
        routes.install(app)
    uploads.sweep(app.extensions[NAME])
    return app


def _databases(
    settings: Settings, api: ApiSettings, given: Database | None
) -> tuple[Database, Database]:
    """Return the databases of `system` and `app`; one for both where they have one role."""
    places = api.threads - api.streams
    if not settings.database_app_url:
        one = given or Database(settings.url, pool_size=places)
        return one, one
    # A key is looked up in no time: fewer connections serve as many threads.
    system = given or Database(settings.url, pool_size=api.other_threads)
    return system, Database(settings.app_url, pool_size=places)


def _begin() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
    g.started = time.monotonic()
    structlog.contextvars.bind_contextvars(process="api", request_id=g.request_id)


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    response.headers.update(doorstep.headers())
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    logger("api.access").info(
        "request",
        method=request.method,
        path=request.path,
        status=response.status_code,
        milliseconds=round((time.monotonic() - g.started) * 1000, 1),
    )
    structlog.contextvars.unbind_contextvars("request_id")
    return response
