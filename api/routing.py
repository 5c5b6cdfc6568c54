"""Typed routes: a handler says what it takes and returns, and the rest follows from that.

The same table makes the Flask rules, the checks of each request and `/openapi.json`.
"""

import typing
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from flask import Flask, Response, g, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api import auth
from api.bodies import is_small, read_json
from api.services import Services, services
from core.blobs import BlobStore
from core.refusals import InvalidError, NotFoundError, RefusedError
from db.blobs import SqlBlobStore
from db.repositories.audit import Actor
from db.repositories.keys import Caller
from db.session import Database
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import Prefix, is_id
from regraft.contract.refs import is_name
from regraft.contract.validation import details

Model = TypeVar("Model", bound=BaseModel)
Handler = TypeVar("Handler", bound=Callable[..., BaseModel | Response])
IDS: dict[str, tuple[Prefix, str]] = {
    "dataset_id": ("ds", "dataset"),
    "job_id": ("job", "job"),
    "batch_id": ("job", "batch"),
    "webhook_id": ("whk", "webhook"),
    "delivery_id": ("whd", "delivery"),
    "erasure_id": ("era", "erasure"),
    "merchant_id": ("mer", "merchant"),
    "key_id": ("key", "key"),
    "upload_id": ("up", "upload"),
    "image_id": ("img", "image"),
}
NAMES = {"name": "model", "alias": "alias"}


class Query(BaseModel):
    """Base of a route's query parameters; one that is not declared is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageQuery(Query):
    """Which page of a list."""

    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=200)


class Call(NamedTuple):
    """What a handler that says `call` gets: the process's services and who asks."""

    services: Services
    caller: Caller

    @property
    def tenant_id(self) -> str:
        """The tenant that every read and write of this request belongs to."""
        return self.caller.tenant_id

    @property
    def database(self) -> Database:
        """The database, held to this tenant's rows."""
        return self.services.merchants.of(self.tenant_id)

    @property
    def blobs(self) -> BlobStore:
        """The blob store, held to this tenant's blobs and the shared ones."""
        return SqlBlobStore(self.database)

    @property
    def actor(self) -> Actor:
        """Who makes the change, for the audit trail."""
        return Actor(self.caller.key_id, g.request_id)


@dataclass(frozen=True)
class Route:
    """One method of one path; `returns` is None where bytes are answered.

    `form` is the schema of a multipart body. A request whose body may come slowly takes a place
    of `gate`; every prediction takes one, as it waits for the serving process.
    `takes` is the media type of a body that is neither JSON nor a form, `sends` that of bytes.
    """

    method: str
    path: str
    handler: Callable[..., BaseModel | Response]
    returns: type[BaseModel] | None
    scope: str | None = "read"
    status: int = 200
    errors: tuple[ErrorCode, ...] = ()
    repeatable: bool = False
    form: dict[str, Any] | None = None
    gate: Literal["uploads", "predictions"] = "uploads"
    takes: str | None = None
    sends: str = "application/octet-stream"
    body: type[BaseModel] | None = None
    query: type[Query] = Query
    takes_call: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    streams: str | None = None

    @property
    def name(self) -> str:
        """The operation's name: the handler's."""
        return getattr(self.handler, "__name__", self.path)

    def __call__(self, **values: str) -> Response:
        """Check the request, run the handler, and return its answer."""
        caller = auth.caller(self.scope)
        for name, value in values.items():
            _require_form(name, value)
        arguments: dict[str, Any] = dict(values)
        if self.takes_call:
            arguments["call"] = Call(services(), caller)
        query = checked(self.query, _query())
        if self.query is not Query:
            arguments["query"] = query
        with self._place(caller):
            if self.body is not None:
                arguments["body"] = checked(self.body, read_json(services().api.max_json_bytes))
            answer = self.handler(**arguments)
        return answer if isinstance(answer, Response) else as_json(answer, self.status)

    def _place(self, caller: Caller) -> AbstractContextManager[None]:
        """Return what a request that takes a thread for long must hold meanwhile."""
        if self.gate == "predictions":
            return services().gates.predictions.held(caller.tenant_id)
        if (self.body is None and self.form is None and self.takes is None) or is_small():
            return nullcontext()
        return services().gates.uploads.held(caller.tenant_id)


class Routes:
    """A table of routes, filled by decorators."""

    def __init__(self) -> None:
        self.table: list[Route] = []

    def add(
        self, method: str, path: str, returns: type[BaseModel] | None, **declared: Any
    ) -> Callable[[Handler], Handler]:
        """Declare a route; the types of its body and query are the handler's own."""

        def register(handler: Handler) -> Handler:
            hints = typing.get_type_hints(handler)
            found: dict[str, Any] = {
                name: hints[name] for name in ("body", "query") if name in hints
            }
            found["takes_call"] = "call" in hints
            self.table.append(Route(method, path, handler, returns, **found, **declared))
            return handler

        return register

    def install(self, app: Flask) -> None:
        """Add every route to the application."""
        for route in self.table:
            app.add_url_rule(
                route.path.replace("{", "<").replace("}", ">"),
                f"{route.method} {route.path}",
                route,
                methods=[route.method],
                provide_automatic_options=False,
            )


def _require_form(name: str, value: str) -> None:
    """Raise `NotFoundError` for text that can be no id and no name of its kind."""
    prefix, subject = IDS.get(name, (None, ""))
    if prefix is not None and not is_id(value, prefix):
        raise NotFoundError(subject)
    if name in NAMES and not is_name(value):
        raise NotFoundError(NAMES[name])


def checked(model: type[Model], values: object) -> Model:
    """Return a validated model; raises `validation_failed` with a detail for each field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = details(error)
        first = found[0]
        raise RefusedError(
            ErrorCode.VALIDATION_FAILED,
            f"{first.param}: {first.message}" if first.param else first.message,
            first.param,
            details=found,
        ) from error


def as_json(answer: BaseModel, status: int) -> Response:
    """Return a model as a JSON response."""
    return Response(answer.model_dump_json(by_alias=True), status, content_type="application/json")


def _query() -> dict[str, str]:
    given = request.args.to_dict(flat=False)
    for name, values in given.items():
        if len(values) > 1:
            raise InvalidError(name[:64], "is given more than once")
    return {name: values[0] for name, values in given.items()}
