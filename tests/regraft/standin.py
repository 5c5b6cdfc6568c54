"""A small real HTTP service that speaks the contract with the contract's own models.

It stands in for the API where a test needs faults that a healthy service does not show: broken
connections, 503s, wrong bytes. The API itself meets the client in tests/api and tests/e2e.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from flask import Flask, Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.serving import WSGIRequestHandler, make_server

from regraft.contract.catalog import BACKBONES, STRATEGIES
from regraft.contract.errors import RECORDS, ErrorBody, ErrorCode, ErrorDetail, ErrorEnvelope
from regraft.contract.ids import new_id
from regraft.contract.job import JobSubmission
from regraft.contract.registry import AliasMove, Deleted, Evaluate, NewClasses
from regraft.contract.resources import (
    Backbone,
    Dataset,
    Image,
    Job,
    JobEvent,
    MetricPoint,
    MetricSeries,
    Model,
    Strategy,
    Whoami,
)
from regraft.contract.status import ShownStatus
from regraft.contract.validation import details
from tests.regraft import examples

KEY = "rg_12345678_0123456789abcdefghijABCDEFGHIJ0123456789abc"
Fault = Callable[[], Response | None]
_STEERED = {
    "cancel": ShownStatus.CANCELLED,
    "stop": ShownStatus.STOPPING,
    "pause": ShownStatus.PAUSED,
    "resume": ShownStatus.QUEUED,
}


class Seen(BaseModel):
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answer(value: BaseModel, status: int = 200) -> Response:
    """Return a resource, with a field that no client of today knows."""
    text = value.model_dump_json(by_alias=True)
    newer = f'{{"a_newer_field":{{"x":1}},{text[1:]}'
    return Response(newer, status, content_type="application/json")


def error(
    code: ErrorCode,
    message: str,
    faults: Sequence[ErrorDetail] = (),
    retry_after: str | None = None,
) -> Response:
    """Return the envelope for a code."""
    record = RECORDS[code]
    body = ErrorBody(
        type="invalid_request",
        code=code.value,
        message=message,
        param=faults[0].param if faults else None,
        remedy=record.remedy,
        request_id="req_42",
        details=list(faults),
    )
    text = ErrorEnvelope(error=body).model_dump_json()
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return Response(text, record.http_status, headers, content_type="application/json")


class Quiet(WSGIRequestHandler):
    """A handler that leaves stderr to the tests."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 -- the base's name
        """Say nothing."""


class Standin:
    """The service, its state in plain sight, and the faults it is told to show."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.faults: deque[Fault] = deque()
        self.datasets: dict[str, deque[Dataset]] = {}
        self.images: list[Image] = []
        self.jobs: dict[str, deque[Job]] = {}
        self.answers: dict[str, Job] = {}
        self.events: list[JobEvent] = []
        self.files: dict[str, bytes] = {
            "bundle.zip": bytes(range(256)) * 4000,
            "labels.json": b"[]",
        }
        self.model: Model = examples.model(self.files)
        self.cuts: deque[int] = deque()
        self._server = make_server(
            "127.0.0.1", 0, _application(self), threaded=True, request_handler=Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def busy(self, times: int, retry_after: str | None = None) -> None:
        """Answer 503 to the next requests."""
        for _ in range(times):
            self.faults.append(
                lambda: error(ErrorCode.UNAVAILABLE, "the pool is full", (), retry_after)
            )

    def of(self, method: str, path: str) -> list[Seen]:
        """Return the requests of this kind that came in."""
        return [one for one in self.seen if (one.method, one.path) == (method, path)]


def _application(service: Standin) -> Flask:
    app = Flask("standin")

    @app.before_request
    def note() -> Response | None:
        body = request.get_data(cache=True, parse_form_data=False)
        headers = {name.lower(): value for name, value in request.headers.items()}
        service.seen.append(
            Seen(method=request.method, path=request.path, headers=headers, body=body)
        )
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return error(ErrorCode.UNAUTHENTICATED, "the key is not valid")
        return service.faults.popleft()() if service.faults else None

    @app.errorhandler(404)
    @app.errorhandler(KeyError)
    def missing(_error: Exception) -> Response:
        return error(ErrorCode.NOT_FOUND, "there is no such thing")

    @app.errorhandler(ValidationError)
    def refused(fault: ValidationError) -> Response:
        found = details(fault)
        return error(ErrorCode.VALIDATION_FAILED, "the body cannot be used", found)

    _dataset_routes(app, service)
    _job_routes(app, service)
    _model_routes(app, service)
    _measuring_routes(app, service)
    _registry_routes(app, service)
    return app


def _page(items: Sequence[BaseModel]) -> Response:
    start = int(request.args.get("cursor", "0"))
    end = start + int(request.args.get("limit", "20"))
    data = [item.model_dump(mode="json", by_alias=True) for item in items[start:end]]
    more = end < len(items)
    page = {"object": "list", "data": data, "has_more": more}
    return Response(
        json.dumps(page | {"next_cursor": str(end) if more else None}),
        content_type="application/json",
    )


def _advance(states: deque[Any]) -> Any:
    """Return the next state of a thing; the last one stays."""
    return states.popleft() if len(states) > 1 else states[0]


def _dataset_routes(app: Flask, service: Standin) -> None:
    @app.post("/v1/datasets")
    def push() -> tuple[Response, int]:
        with request.files["file"].stream as stream:
            assert stream.read(4) in {b"PK\3\4", b"PAR1"}
        made = examples.dataset(request.form["name"], "processing", num_images=0)
        ready = made.model_copy(update={"status": "ready", "num_images": 4})
        service.datasets[made.id] = deque([made, ready])
        return answer(made), 202

    @app.get("/v1/datasets")
    def dataset_listed() -> Response:
        return _page([states[0] for states in service.datasets.values()])

    @app.get("/v1/datasets/<dataset>")
    def dataset_shown(dataset: str) -> Response:
        return answer(_advance(service.datasets[dataset]))

    @app.get("/v1/datasets/<dataset>/images")
    def dataset_images(dataset: str) -> Response:
        wanted = request.args.get("verdict")
        assert dataset in service.datasets
        return _page([one for one in service.images if wanted in {None, one.verdict.value}])


def _job_routes(app: Flask, service: Standin) -> None:
    @app.post("/v1/jobs")
    def submit() -> tuple[Response, int]:
        key = request.headers["Idempotency-Key"]
        made = service.answers.get(key)
        if made is None:
            made = examples.job(JobSubmission.model_validate_json(request.get_data()))
            service.answers[key] = made
            service.jobs[made.id] = deque(examples.course(made, service.model.id))
        return answer(made), 202

    @app.get("/v1/jobs")
    def job_listed() -> Response:
        status = request.args.get("status")
        found = [states[0] for states in service.jobs.values()]
        return _page([job for job in found if status in {None, job.status.value}])

    @app.get("/v1/jobs/<job>")
    def job_shown(job: str) -> Response:
        return answer(_advance(service.jobs[job]))

    @app.post("/v1/jobs/<job>/<any(cancel, stop, pause, resume):verb>")
    def steer(job: str, verb: str) -> Response:
        states = service.jobs[job]
        steered = states[0].model_copy(update={"status": _STEERED[verb]})
        service.jobs[job] = deque([steered])
        return answer(steered)

    @app.get("/v1/jobs/<job>/checkpoints")
    def job_checkpoints(job: str) -> Response:
        assert job in service.jobs
        return _page([examples.checkpoint(20), examples.checkpoint(10)])

    @app.get("/v1/jobs/<job>/events")
    def job_events(job: str) -> Response:
        assert job in service.jobs
        return _page(service.events)

    @app.get("/v1/jobs/<job>/metrics")
    def job_metrics(job: str) -> Response:
        assert job in service.jobs
        points = [MetricPoint(step=1, value=0.5, time=examples.NOW)]
        return answer(MetricSeries(series={"loss": points}))


def _model_routes(app: Flask, service: Standin) -> None:
    @app.get("/v1/models")
    def model_listed() -> Response:
        return _page([service.model] if request.args.get("name") in {None, "home-goods"} else [])

    @app.get("/v1/models/<ref>")
    def model_shown(ref: str) -> Response:
        if ref not in {service.model.id, "home-goods@production", "home-goods:3"}:
            raise KeyError(ref)
        return answer(service.model)

    @app.get("/v1/models/<ref>/files")
    def model_files(ref: str) -> Response:
        assert ref == service.model.id
        return _page(service.model.files)

    @app.get("/v1/models/<ref>/files/<name>")
    def model_content(ref: str, name: str) -> Response:
        sha256 = next(file.sha256 for file in service.model.files if file.name == name)
        return _bytes(service, service.files[name], sha256)

    @app.get("/v1/catalog/backbones")
    def backbones() -> Response:
        records = (record._asdict() for record in BACKBONES.values())
        return _page([Backbone.model_validate(record) for record in records])

    @app.get("/v1/catalog/strategies")
    def strategies() -> Response:
        records = (record._asdict() for record in STRATEGIES.values())
        return _page([Strategy.model_validate(record) for record in records])

    @app.get("/v1/whoami")
    def whoami() -> Response:
        ids = {"merchant": new_id("mer"), "key": new_id("key")}
        return answer(Whoami(merchant_name="Acme [bold]\x1b[31m", scopes=["read"], **ids))


def _measuring_routes(app: Flask, service: Standin) -> None:
    @app.post("/v1/models/<ref>/evaluate")
    def measured(ref: str) -> tuple[Response, int]:
        assert request.headers["Idempotency-Key"]
        wanted = Evaluate.model_validate_json(request.get_data())
        made = examples.job(JobSubmission(dataset=wanted.dataset, name=ref))
        service.jobs[made.id] = deque(examples.course(made, service.model.id))
        return answer(made), 202

    @app.get("/v1/models/<ref>/evaluations")
    def evaluations(ref: str) -> Response:
        assert ref == "home-goods@production"
        return _page([states[0] for states in service.jobs.values()])

    @app.post("/v1/models/<ref>/classes")
    def classes(ref: str) -> tuple[Response, int]:
        assert request.headers["Idempotency-Key"]
        wanted = NewClasses.model_validate_json(request.get_data())
        made = examples.job(JobSubmission(dataset=wanted.dataset, name=f"{ref}: {wanted.label}"))
        service.jobs[made.id] = deque(examples.course(made, service.model.id))
        return answer(made), 202


def _registry_routes(app: Flask, service: Standin) -> None:
    @app.delete("/v1/models/<ref>")
    def model_gone(ref: str) -> Response:
        if service.model.aliases:
            return error(ErrorCode.IN_USE, "The model answers to home-goods@production.")
        return answer(Deleted(id=service.model.id, object="model"))

    @app.put("/v1/models/<name>/aliases/<alias>")
    def alias_moved(name: str, alias: str) -> Response:
        wanted = AliasMove.model_validate_json(request.get_data())
        if wanted.to == 2 and not wanted.force:
            return error(ErrorCode.WORSE_MODEL, "home-goods:2 names 51 of 100 test images right")
        return answer(examples.alias(name, alias, 1 if wanted.to == "previous" else 2))

    @app.delete("/v1/models/<name>/aliases/<alias>")
    def alias_gone(name: str, alias: str) -> Response:
        return answer(Deleted(id=f"{name}@{alias}", object="alias"))

    @app.get("/v1/audit")
    def audit() -> Response:
        return _page([examples.audit_entry()])


def _bytes(service: Standin, data: bytes, sha256: str) -> Response:
    """Return a file or the rest of it; a pending cut breaks the connection after so many bytes."""
    span = request.headers.get("Range")
    same = request.headers.get("If-Range") == f'"{sha256}"'
    start = int(span.removeprefix("bytes=").removesuffix("-")) if span and same else 0
    rest = data[start:]
    headers = {"ETag": f'"{sha256}"', "Content-Length": str(len(rest))}
    if start:
        headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    length = service.cuts.popleft() if service.cuts else len(rest)
    return Response(_cut(rest, length), 206 if start else 200, headers)


def _cut(data: bytes, length: int) -> Iterator[bytes]:
    for start in range(0, length, 4096):
        yield data[start : min(length, start + 4096)]
