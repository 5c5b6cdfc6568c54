"""Requests to the service: the key, retries, errors as exceptions, answers as contract models.

May import httpx2, pydantic, the contract and this package's errors, config and retry.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from regraft.client.config import Connection
from regraft.client.errors import (
    ConnectionFailed,
    InvalidInput,
    RegraftError,
    UnexpectedAnswer,
    api_error,
)
from regraft.client.retry import BUSY, RetryPolicy, may_repeat, retry_after
from regraft.contract.errors import ErrorBody, ErrorEnvelope
from regraft.contract.resources import Page

Answer = TypeVar("Answer", bound=BaseModel)
Item = TypeVar("Item")
Found = TypeVar("Found")
Params = Mapping[str, str | int | None]
MakeRequest = Callable[[httpx2.Client], httpx2.Request]
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
# The service answers an upload once it has checked and stored it.
_UPLOAD_TIMEOUT = httpx2.Timeout(60.0, connect=10.0, read=600.0)
_LARGEST_ERROR = 1_000_000


class Again(Exception):  # noqa: N818 -- a signal, not an error
    """Another try may help; `reason` is what to raise when there is none left."""

    def __init__(self, reason: RegraftError, seconds: float | None = None) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.retry_after = seconds


class Transport:
    """One connection pool to one service with one key; safe to use from several threads."""

    def __init__(
        self, connection: Connection, user_agent: str, retry: RetryPolicy, timeout: float | None
    ) -> None:
        self.url = connection.url
        self.retry = retry
        headers = {
            "Authorization": f"Bearer {connection.api_key}",
            "Accept": "application/json",
            "User-Agent": user_agent,
        }
        wait = _TIMEOUT if timeout is None else httpx2.Timeout(timeout)
        self.upload_timeout = _UPLOAD_TIMEOUT if timeout is None else wait
        try:
            self._http = httpx2.Client(base_url=connection.url, headers=headers, timeout=wait)
        except httpx2.InvalidURL as error:
            raise InvalidInput(f"{connection.url!r} is no address: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, url: str, model: type[Answer], params: Params | None = None) -> Answer:
        """Return the resource at `url`; parameters that are None are left out."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        return self.call(lambda http: http.build_request("GET", url, params=given), model)

    def pages(self, url: str, model: type[Page[Item]], params: Params) -> Iterator[Item]:
        """Yield every item of a list, following its cursors page by page."""
        cursor: str | None = None
        while True:
            page = self.get(url, model, {**params, "cursor": cursor})
            yield from page.data
            if not page.has_more or page.next_cursor in {None, cursor}:
                return
            cursor = page.next_cursor

    def post(
        self, url: str, model: type[Answer], body: object, idempotency_key: str | None = None
    ) -> Answer:
        """Send JSON; a key makes the request safe to repeat.

        Raises:
            InvalidInput: the body holds what JSON cannot carry, such as NaN.
        """
        headers = idempotent(idempotency_key)
        make = self._with_json("POST", url, body, headers)
        return self.call(make, model, repeatable=idempotency_key is not None)

    def put(
        self, url: str, model: type[Answer], body: object, *, repeatable: bool = True
    ) -> Answer:
        """Send JSON; say where sending it twice would do something else than sending it once."""
        return self.call(self._with_json("PUT", url, body, {}), model, repeatable=repeatable)

    def patch(self, url: str, model: type[Answer], body: object) -> Answer:
        """Send JSON that says what is to be; sending it twice changes no more."""
        return self.call(self._with_json("PATCH", url, body, {}), model)

    def delete(self, url: str, model: type[Answer]) -> Answer:
        """Delete the resource at `url`; not repeated, as it would not be found again."""
        return self.call(lambda http: http.build_request("DELETE", url), model, repeatable=False)

    def _with_json(
        self, method: str, url: str, body: object, headers: Mapping[str, str]
    ) -> MakeRequest:
        content = _encoded(body)
        sent = {"Content-Type": "application/json", **headers}
        return lambda http: http.build_request(method, url, content=content, headers=sent)

    def read(self, url: str) -> bytes:
        """Return the bytes at `url`, whole in memory."""
        return self._sent(lambda http: http.build_request("GET", url), httpx2.Response.read)

    def call(self, make: MakeRequest, model: type[Answer], *, repeatable: bool = True) -> Answer:
        """Send what `make` builds, again where that may help, and return the parsed answer."""
        return self._sent(make, lambda response: _parsed(response, model), repeatable=repeatable)

    def _sent(
        self,
        make: MakeRequest,
        take: Callable[[httpx2.Response], Found],
        *,
        repeatable: bool = True,
    ) -> Found:
        failures = 0
        while True:
            try:
                with self.answer(make, repeatable=repeatable) as response:
                    return take(response)
            except Again as again:
                failures += 1
                if not self.retry.pause(failures, again.retry_after):
                    raise again.reason from again.reason.__cause__

    @contextmanager
    def answer(self, make: MakeRequest, *, repeatable: bool = True) -> Iterator[httpx2.Response]:
        """Send once and hold the open answer; raises `Again` where another try may help."""
        request = make(self._http)
        try:
            response = self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    raise _refused(response)
                yield response
            finally:
                response.close()
        except httpx2.TransportError as error:
            failed = ConnectionFailed(f"cannot reach {self.url}: {_sentence(error)}")
            failed.__cause__ = error
            if may_repeat(error, repeatable=repeatable):
                raise Again(failed) from error
            raise failed from error


def path(*parts: str) -> str:
    """Return `/v1/…` with each part quoted.

    Raises:
        InvalidInput: a part is empty or a dot, and would name another resource.
    """
    for part in parts:
        if not part.strip() or part in {".", ".."}:
            raise InvalidInput(f"{part!r} is no id or name")
    return "/v1/" + "/".join(quote(part, safe="@:") for part in parts)


def new_key() -> str:
    """Return a fresh Idempotency-Key."""
    return str(uuid.uuid4())


def idempotent(key: str | None) -> dict[str, str]:
    """Return the header for `key`, checked: a header carries visible ASCII alone."""
    if key is None:
        return {}
    if not key.isascii() or not key.isprintable() or not 1 <= len(key.strip()) <= 255:  # noqa: PLR2004 -- the contract's limit
        raise InvalidInput("an idempotency key is 1 to 255 visible ASCII characters")
    return {"Idempotency-Key": key}


def _encoded(body: object) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"cannot be sent as JSON: {error}") from error


def _parsed(response: httpx2.Response, model: type[Answer]) -> Answer:
    content = response.read()
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the body"
        raise UnexpectedAnswer(
            f"{response.url} answered something that this version does not understand "
            f"({where}: {fault['msg']}); check the address, or upgrade regraft"
        ) from error


def _refused(response: httpx2.Response) -> Exception:
    """Return what to raise for an answer that is not a success."""
    seconds = retry_after(response.headers)
    error = _as_error(response, seconds)
    return Again(error, seconds) if response.status_code in BUSY else error


def _as_error(response: httpx2.Response, seconds: float | None) -> RegraftError:
    if response.is_redirect:
        target = response.headers.get("location", "nowhere")
        return UnexpectedAnswer(f"{response.url} redirects to {target}: use that address")
    try:
        body = ErrorEnvelope.model_validate_json(_bounded(response)).error
    except ValidationError:
        body = _foreign(response)
    return api_error(response.status_code, body, seconds)


def _bounded(response: httpx2.Response) -> bytes:
    """Return the body of an error, or its beginning where something sends no end of it."""
    content = b""
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > _LARGEST_ERROR:
            break
    return content


def _foreign(response: httpx2.Response) -> ErrorBody:
    """Return an error for an answer of something between the client and the service."""
    said = f"{response.status_code} {response.reason_phrase}".strip()
    return ErrorBody(
        type="api_error",
        code="unexpected_answer",
        message=f"{response.url.host} answered {said} without the service's error format",
        remedy="Check the address, and any proxy in front of the service.",
        request_id=response.headers.get("x-request-id"),
    )


def _sentence(error: httpx2.TransportError) -> str:
    """Return what happened; some of the library's errors carry no text."""
    return str(error) or type(error).__name__
