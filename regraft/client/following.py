"""A job's events as they come: a live stream where it can be had, pages where it cannot.

Server-sent events (WHATWG HTML, 9.2), resumed behind the last event that was seen.
May import httpx2, pydantic, the contract and this package's own modules.
"""

from collections.abc import Iterator
from http import HTTPStatus

import httpx2
from pydantic import ValidationError

from regraft.client.errors import ConnectionFailed, UnexpectedAnswer
from regraft.client.transport import Again, Transport
from regraft.client.waiting import breathe
from regraft.contract.resources import JobEvent, Page
from regraft.contract.status import TERMINAL

_MEDIA_TYPE = "text/event-stream"
# The service says something every ten seconds.
_TIMEOUT = httpx2.Timeout(35.0, connect=10.0)
_LARGEST_LINE = 4_000_000
_PAGE = 100


class Following:
    """One job's events from `last` on, which is None for the first, or an event's id."""

    def __init__(self, transport: Transport, url: str, last: str | None) -> None:
        self._transport = transport
        self._url = url
        self._last = last
        self._is_over = False

    def events(self) -> Iterator[JobEvent]:
        """Yield events until the job has ended, however often the connection breaks.

        Raises:
            ConnectionFailed: the service could not be reached again and again.
        """
        failures = 0
        while not self._is_over:
            before = self._last
            try:
                for event in self._some():
                    self._last = event.id
                    self._is_over = is_end(event)
                    yield event
                    if self._is_over:
                        return
                failures = 0
                if self._last == before and not self._is_over:
                    breathe()
            except Again as again:
                failures = failures + 1 if self._last == before else 1
                if not self._transport.retry.pause(failures):
                    raise again.reason from again

    def _some(self) -> Iterator[JobEvent]:
        """Yield what one stream brings, or one look at the pages where there is none to be had."""
        try:
            yield from self._stream()
        except _NoStreamError:
            yield from self._missed()

    def _stream(self) -> Iterator[JobEvent]:
        headers = {"Accept": _MEDIA_TYPE}
        if self._last is not None:
            headers["Last-Event-ID"] = self._last
        try:
            opened = self._transport.answer(
                lambda http: http.build_request("GET", self._url, headers=headers, timeout=_TIMEOUT)
            )
            with opened as response:
                self._is_over = response.status_code == HTTPStatus.NO_CONTENT
                if self._is_over:
                    return
                if response.headers.get("content-type", "").split(";")[0] != _MEDIA_TYPE:
                    raise _NoStreamError
                yield from _parsed(response)
        except Again as again:
            if isinstance(again.reason, ConnectionFailed):
                raise
            raise _NoStreamError from again

    def _missed(self) -> Iterator[JobEvent]:
        """Yield the events behind the last one that was seen, page by page."""
        found = self._transport.pages(self._url, Page[JobEvent], {"limit": _PAGE})
        known = list(found)
        ids = [event.id for event in known]
        yield from known[ids.index(self._last) + 1 if self._last in ids else 0 :]


class _NoStreamError(Exception):
    """The service, or something before it, gives no stream now."""


def is_end(event: JobEvent) -> bool:
    """Tell whether this event is a job's last."""
    return event.type == "status" and event.data.get("to") in TERMINAL


def _parsed(response: httpx2.Response) -> Iterator[JobEvent]:
    """Yield the events of a stream; a frame that was cut off by its end is none."""
    data: list[bytes] = []
    for line in _lines(response):
        if line.startswith(b"data:"):
            data.append(line.removeprefix(b"data:").removeprefix(b" "))
        elif not line and data:
            try:
                yield JobEvent.model_validate_json(b"\n".join(data))
            except ValidationError as error:
                raise UnexpectedAnswer(f"{response.url} sent what is no event") from error
            data = []


def _lines(response: httpx2.Response) -> Iterator[bytes]:
    """Yield whole lines; only a newline ends one, since a text may hold any other separator."""
    rest = b""
    for piece in response.iter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.rstrip(b"\r") for line in lines)
        if len(rest) > _LARGEST_LINE:
            raise UnexpectedAnswer(f"{response.url} sent a line without an end")
