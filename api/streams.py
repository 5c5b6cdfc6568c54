"""A job's events as server-sent events (WHATWG HTML, 9.2), from where the client left off."""

import queue
from collections.abc import Iterator
from http import HTTPStatus

from flask import Response, request

from api import shown
from api.feed import Feed, Follower
from api.gates import Gate
from api.routing import Call
from db.models import JobEvent
from db.repositories import following
from regraft.contract.status import JobKind

MEDIA_TYPE = "text/event-stream"
_BEAT_SECONDS = 10.0
_RETRY_MILLISECONDS = 2000


def is_asked_for() -> bool:
    """Tell whether the client wants to follow, and not one page."""
    return MEDIA_TYPE in request.headers.get("Accept", "")


def stream(call: Call, job_id: str, kind: JobKind = JobKind.TRAIN) -> Response:
    """Return a job's events from `Last-Event-ID` on, until it ends; 204 behind its end.

    Raises `not_found`, or `unavailable` where all places for streams are taken.
    """
    last = request.headers.get("Last-Event-ID")
    with call.database.read() as session:
        position = following.position(session, call.tenant_id, job_id, last, kind)
        if following.is_over(session, position):
            return Response(status=HTTPStatus.NO_CONTENT)
    gate, feed = call.services.gates.streams, call.services.feed
    gate.enter(call.tenant_id)
    follower = feed.follow(position)
    response = Response(_frames(follower), content_type=MEDIA_TYPE)
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(lambda: _close(gate, feed, call.tenant_id, follower))
    return response


def _close(gate: Gate, feed: Feed, tenant_id: str, follower: Follower) -> None:
    feed.leave(follower)
    gate.leave(tenant_id)


def _frames(follower: Follower) -> Iterator[bytes]:
    """Yield a frame for each event; a comment now and then finds out who has gone."""
    yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
    while True:
        try:
            event = follower.next(_BEAT_SECONDS)
        except queue.Empty:
            yield b": waiting\n\n"
            continue
        if event is None:
            return
        yield _frame(event)


def _frame(event: JobEvent) -> bytes:
    data = shown.event(event).model_dump_json(by_alias=True)
    return f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n".encode()
