"""Batches: let a model answer about a whole dataset, and download what it said."""

from collections.abc import Callable
from typing import Any

from flask import Response

from api import repeatable, shown, streams
from api.routing import Call, PageQuery, Routes
from api.transfers import HEADERS, download_in_turn
from db.repositories import batches
from db.repositories.idempotency import Claim, Transaction
from db.repositories.reading import Window
from regraft.contract.batch import Batch, BatchSubmission
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import DatasetId, ModelId
from regraft.contract.registry import Deleted
from regraft.contract.resources import JobEvent, Page
from regraft.contract.status import JobKind, RequestedAction

routes = Routes()
_STEERED: dict[str, Any] = {"scope": "write", "status": 202, "errors": (ErrorCode.CONFLICT,)}
_SUBMIT_ERRORS = (
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
    ErrorCode.DATASET_NOT_READY,
    ErrorCode.QUOTA_EXCEEDED,
    ErrorCode.STORAGE_FULL,
)


class BatchQuery(PageQuery):
    """Which batches to list."""

    dataset: DatasetId | None = None
    model: ModelId | None = None


@routes.add(
    "POST",
    "/v1/batches",
    Batch,
    scope="write",
    status=202,
    errors=_SUBMIT_ERRORS,
    repeatable=True,
)
def submit_batch(call: Call, body: BatchSubmission) -> Response:
    """Let a model answer about every image of a dataset; it is queued as a job."""
    claim = repeatable.claim(body.model_dump(mode="json"))
    return _submitted(
        call, claim, lambda session, trainer: batches.submit(session, call.tenant_id, body, trainer)
    )


@routes.add(
    "POST",
    "/v1/batches/{batch_id}/retry",
    Batch,
    scope="write",
    status=202,
    errors=_SUBMIT_ERRORS,
    repeatable=True,
)
def retry_batch(call: Call, batch_id: str) -> Response:
    """Submit a batch that has ended once more, as a new one with the same body."""
    return _submitted(
        call,
        repeatable.claim({}),
        lambda session, trainer: batches.retry(session, call.tenant_id, batch_id, trainer),
    )


def _submitted(
    call: Call, claim: Claim | None, insert: Callable[[Transaction, str], batches.Overview]
) -> Response:
    """Answer with the batch that `insert` queues for the trainers' class, once for each key."""
    trainer = call.services.settings.device_class
    return repeatable.once(call, claim, 202, lambda session: shown.batch(insert(session, trainer)))


@routes.add("GET", "/v1/batches", Page[Batch])
def list_batches(call: Call, query: BatchQuery) -> Page[Batch]:
    """List batches, newest first; all of them, or those of a dataset or a model."""
    wanted = batches.Filter(query.dataset, query.model)
    with call.database.read() as session:
        rows = batches.listed(session, call.tenant_id, wanted, Window(query.limit, query.cursor))
    return shown.page(rows, shown.batch)


@routes.add("GET", "/v1/batches/{batch_id}", Batch)
def show_batch(call: Call, batch_id: str) -> Batch:
    """Show one batch."""
    with call.database.read() as session:
        return shown.batch(batches.show(session, call.tenant_id, batch_id))


def _steer(call: Call, batch_id: str, action: RequestedAction | None) -> Batch:
    with call.database.write() as session:
        return shown.batch(batches.steer(session, call.tenant_id, batch_id, action))


@routes.add("POST", "/v1/batches/{batch_id}/cancel", Batch, **_STEERED)
def cancel_batch(call: Call, batch_id: str) -> Batch:
    """Cancel a batch: at once if it waits, within seconds if it runs. It leaves no answers."""
    return _steer(call, batch_id, RequestedAction.CANCEL)


@routes.add("POST", "/v1/batches/{batch_id}/pause", Batch, **_STEERED)
def pause_batch(call: Call, batch_id: str) -> Batch:
    """Pause a batch; it keeps what it has answered so far."""
    return _steer(call, batch_id, RequestedAction.PAUSE)


@routes.add("POST", "/v1/batches/{batch_id}/resume", Batch, **_STEERED)
def resume_batch(call: Call, batch_id: str) -> Batch:
    """Queue a paused batch again; it goes on behind what it has answered."""
    return _steer(call, batch_id, None)


@routes.add(
    "GET",
    "/v1/batches/{batch_id}/events",
    Page[JobEvent],
    streams=streams.MEDIA_TYPE,
    headers={"Last-Event-ID": "With `Accept: text/event-stream`: the event to go on behind."},
)
def list_batch_events(call: Call, batch_id: str, query: PageQuery) -> Page[JobEvent] | Response:
    """List what happened to a batch, oldest first.

    With `Accept: text/event-stream` it is followed live until the batch ends.
    """
    if streams.is_asked_for():
        return streams.stream(call, batch_id, JobKind.BATCH)
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = batches.history(session, call.tenant_id, batch_id, window)
    return shown.page(rows, shown.event)


@routes.add(
    "GET",
    "/v1/batches/{batch_id}/file",
    None,
    errors=(ErrorCode.RANGE_NOT_SATISFIABLE, ErrorCode.ARTIFACT_CORRUPT),
    headers=HEADERS,
)
def download_batch(call: Call, batch_id: str) -> Response:
    """Download the answers of a batch, whole or one range of them."""
    with call.database.read() as session:
        stored = batches.stored_file(session, call.tenant_id, batch_id)
    return download_in_turn(call, stored)


@routes.add(
    "DELETE",
    "/v1/batches/{batch_id}/file",
    Deleted,
    scope="write",
    errors=(ErrorCode.CONFLICT,),
)
def delete_batch_file(call: Call, batch_id: str) -> Deleted:
    """Delete the answers of a batch that has ended; its record stays."""
    with call.database.write() as session:
        deleted = batches.remove_file(session, call.tenant_id, batch_id)
    return Deleted(id=deleted, object="batch.file")
