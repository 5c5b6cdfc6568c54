"""`/openapi.json`, made from the table of routes: `python -m api.openapi > docs/openapi.json`.

Every route, every error that it declares, and an example of each answer.
"""

import json
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

from flask import Response
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.doorstep import UNLIMITED
from api.examples import EXAMPLES, SUBJECTS
from api.routing import IDS, NAMES, Query, Route, Routes
from regraft.contract import signatures
from regraft.contract.errors import RECORDS, ErrorBody, ErrorCode, ErrorEnvelope
from regraft.contract.naming import MODEL_NAME_PATTERN
from regraft.contract.version import __version__
from regraft.contract.webhooks import TEST_TYPE, WebhookEvent, WebhookEventType

Json = dict[str, Any]
_DESCRIBED = {200: "Done.", 201: "Created.", 202: "Accepted."}
_REF = "#/components/schemas/{model}"
_DESCRIPTION = (
    "Adapts a pretrained vision backbone to a merchant's own product photos. Fields may be added "
    "within v1, never removed or changed in meaning."
)
_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Kept for 24 hours: the same request with the same key creates once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def document_route(tables: Iterable[Routes]) -> Routes:
    """Return the route of the document itself, which documents itself too."""
    routes = Routes()

    @cache
    def rendered() -> str:
        return render(document(all_of((*tables, routes))))

    @routes.add("GET", "/openapi.json", None, scope=None)
    def openapi() -> Response:
        """Show this document."""
        return Response(rendered(), content_type="application/json")

    return routes


def all_of(tables: Iterable[Routes]) -> list[Route]:
    """Return the routes of several tables."""
    return [route for table in tables for route in table.table]


def render(found: Json) -> str:
    """Return the document as the text that is committed and served."""
    return json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def document(routes: Iterable[Route]) -> Json:
    """Return the OpenAPI 3.1 document of these routes."""
    found = list(routes)
    names, schemas = _schemas(found)
    paths: Json = {}
    for route in found:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Regraft", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "webhooks": {kind: {"post": _call(kind, names)} for kind in (*WebhookEventType, TEST_TYPE)},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def errors_of(route: Route) -> list[ErrorCode]:
    """Return every code that a route can answer, its own and those of its kind."""
    codes = {
        *route.errors,
        *(ErrorCode.INVALID_REQUEST, ErrorCode.VALIDATION_FAILED),
        *(ErrorCode.INTERNAL, ErrorCode.UNAVAILABLE),
    }
    if route.path not in UNLIMITED:
        codes.add(ErrorCode.RATE_LIMITED)
    if route.scope is not None:
        codes |= {ErrorCode.UNAUTHENTICATED, ErrorCode.INSUFFICIENT_SCOPE}
    if "{" in route.path:
        codes.add(ErrorCode.NOT_FOUND)
    if route.repeatable:
        codes.add(ErrorCode.IDEMPOTENCY_MISMATCH)
    if route.body is not None:
        codes |= {
            ErrorCode.INVALID_JSON,
            ErrorCode.INCOMPLETE_BODY,
            ErrorCode.PAYLOAD_TOO_LARGE,
            ErrorCode.UNSUPPORTED_MEDIA_TYPE,
            ErrorCode.REQUEST_TIMEOUT,
        }
    return sorted(codes)


def _schemas(routes: list[Route]) -> tuple[dict[type[BaseModel], Json], Json]:
    """Return the reference of each model, and all schemas by name."""
    wanted: dict[type[BaseModel], JsonSchemaMode] = {
        ErrorEnvelope: "serialization",
        WebhookEvent: "serialization",
    }
    for route in routes:
        if route.returns is not None:
            wanted[route.returns] = "serialization"
        if route.body is not None:
            wanted[route.body] = "validation"
    refs, definitions = models_json_schema(list(wanted.items()), ref_template=_REF)
    return {model: refs[model, mode] for model, mode in wanted.items()}, definitions["$defs"]


def _operation(route: Route, names: dict[type[BaseModel], Json]) -> Json:
    text = (route.handler.__doc__ or "").strip()
    found: Json = {
        "operationId": route.name,
        "summary": text.split("\n")[0],
        "description": " ".join(text.split()),
        "parameters": [*_path(route), *_query(route.query), *_headers(route)],
        "responses": {**_success(route, names), **_failures(route, names)},
        "security": [] if route.scope is None else [{"key": [route.scope]}],
    }
    if route.form is not None:
        found["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": route.form}},
        }
    elif route.takes is not None:
        binary = {"schema": {"type": "string", "contentMediaType": route.takes}}
        found["requestBody"] = {"required": True, "content": {route.takes: binary}}
    elif route.body is not None:
        content = {"schema": names[route.body], "example": EXAMPLES[route.body]}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    return found


def _call(kind: str, names: dict[type[BaseModel], Json]) -> Json:
    """Return what an endpoint of a merchant's is sent for one type of event."""
    subject = SUBJECTS[kind.partition(".")[0]]
    return {
        "operationId": f"on_{kind.replace('.', '_')}",
        "summary": f"Sent to the endpoints that listen to `{kind}`; see docs/webhooks.md.",
        "parameters": [
            {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
            for name in (signatures.ID, signatures.TIMESTAMP, signatures.SIGNATURE)
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": names[WebhookEvent],
                    "example": {**EXAMPLES[WebhookEvent], "type": kind, "data": {"id": subject}},
                }
            },
        },
        "responses": {"2XX": {"description": "Taken. Anything else is tried again for a day."}},
        "security": [],
    }


def _path(route: Route) -> list[Json]:
    parts = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    return [{"name": part, "in": "path", "required": True, "schema": _form(part)} for part in parts]


def _form(part: str) -> Json:
    """Return the schema of a part of a path."""
    if part in IDS:
        return {"type": "string", "pattern": f"^{IDS[part][0]}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$"}
    if part in NAMES:
        return {"type": "string", "pattern": MODEL_NAME_PATTERN}
    if part == "ref":
        return {"type": "string", "description": "`md_…`, `name@alias` or `name:version`."}
    return {"type": "string"}


def _query(model: type[Query]) -> list[Json]:
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    return [
        {"name": name, "in": "query", "required": False, "schema": _inlined(field, definitions)}
        for name, field in schema.get("properties", {}).items()
    ]


def _inlined(schema: Json, definitions: Json) -> Json:
    """Return a parameter's schema without references or null: a query cannot say null."""
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    found = {**options[0]}
    if "$ref" in found:
        found = {**definitions[found["$ref"].rsplit("/", 1)[1]]}
    if schema.get("default") is not None:
        found["default"] = schema["default"]
    return found


def _headers(route: Route) -> list[Json]:
    named = [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in route.headers.items()
    ]
    return [*([_IDEMPOTENCY] if route.repeatable else []), *named]


def _success(route: Route, names: dict[type[BaseModel], Json]) -> Json:
    if route.returns is not None:
        example = {"schema": names[route.returns], "example": EXAMPLES[route.returns]}
        content: Json = {"application/json": example}
        if route.streams is not None:
            content[route.streams] = {"schema": {"type": "string"}}
        found: Json = {
            str(route.status): {"description": _DESCRIBED[route.status], "content": content}
        }
        if route.streams is not None:
            found["204"] = {"description": "The stream was read to its end before."}
        return found
    if not route.headers:
        return {"200": {"description": "Done.", "content": {"application/json": {}}}}
    raw: Json = {"content": {route.sends: {}}}
    return {
        "200": {"description": "The whole file.", **raw},
        "206": {"description": "The range that was asked for.", **raw},
        "304": {"description": "The file is still the one that the client has."},
    }


def _failures(route: Route, names: dict[type[BaseModel], Json]) -> Json:
    by_status: dict[int, list[ErrorCode]] = {}
    for code in errors_of(route):
        by_status.setdefault(RECORDS[code].http_status, []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {RECORDS[code].remedy}" for code in codes),
            "content": {
                "application/json": {
                    "schema": names[ErrorEnvelope],
                    "examples": {code.value: {"value": _example(code)} for code in codes},
                }
            },
        }
        for status, codes in by_status.items()
    }


def _example(code: ErrorCode) -> Json:
    record = RECORDS[code]
    body = ErrorBody(
        type="invalid_request" if record.error_class in {"user_data", "quota"} else "service_error",
        code=code,
        message="What is wrong, in one sentence.",
        remedy=record.remedy,
        request_id="req_4f0c",
    )
    return ErrorEnvelope(error=body).model_dump(mode="json")


def main() -> None:
    """Print the document of the application's routes."""
    from api.app import ROUTES  # noqa: PLC0415 - the application imports this module

    sys.stdout.write(render(document(all_of((*ROUTES, document_route(ROUTES))))))


if __name__ == "__main__":
    main()
