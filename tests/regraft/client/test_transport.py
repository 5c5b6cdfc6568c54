"""What the client does when the network or the service is not at its best."""

import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Self

import pytest
from flask import Response

from regraft.client import (
    ApiError,
    AuthenticationError,
    Client,
    ConnectionFailed,
    InvalidInput,
    NotFoundError,
    RateLimited,
    RetryPolicy,
    Unavailable,
    UnexpectedAnswer,
    ValidationFailed,
)
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from tests.regraft.standin import KEY, Standin, error


def test_unknown_fields_are_ignored(client: Client) -> None:
    """A service that gains a field would break every client already installed."""
    assert client.whoami().scopes == ["read"]


def test_503_is_retried_after_the_seconds_it_names(
    client: Client, service: Standin, waits: list[float]
) -> None:
    """A restart of the service would end a merchant's script."""
    service.busy(2, retry_after="7")
    assert client.whoami().scopes == ["read"]
    assert waits == [7.0, 7.0]
    assert len(service.seen) == 3


def test_retry_after_may_be_a_date(client: Client, service: Standin, waits: list[float]) -> None:
    """Proxies send dates: a client that only knows numbers hammers them."""
    moment = datetime.now(UTC) + timedelta(seconds=30)
    service.busy(1, retry_after=format_datetime(moment, usegmt=True))
    client.whoami()
    assert waits[0] == pytest.approx(30, abs=3)


@pytest.mark.parametrize("header", ["soon", "-5", "²", "99999999999999999999"])
def test_a_strange_retry_after_does_no_harm(
    client: Client, service: Standin, waits: list[float], header: str
) -> None:
    """A bad header would crash the client or put it to sleep for years."""
    service.busy(1, retry_after=header.encode().decode("latin-1"))
    try:
        client.whoami()
    except Unavailable:
        assert header.startswith("999")
    assert all(0 <= seconds <= 60 for seconds in waits)


def test_waits_grow_and_end(client: Client, service: Standin, waits: list[float]) -> None:
    """A client that never gives up hides an outage; one that never waits makes it worse."""
    service.busy(99)
    with pytest.raises(Unavailable) as caught:
        client.whoami()
    assert caught.value.status == 503
    assert len(service.seen) == RetryPolicy().attempts
    assert 0.25 <= waits[0] < waits[1] * 1.01 < waits[2] * 1.01 < waits[3] * 1.01


def test_a_quota_that_frees_tomorrow_is_not_waited_for(
    client: Client, service: Standin, waits: list[float]
) -> None:
    """A script would hang for hours without a word."""
    busy = Response('{"error":{"type":"t","code":"quota_exceeded","message":"m"}}', 429)
    busy.headers["Retry-After"] = "86400"
    service.faults.append(lambda: busy)
    with pytest.raises(RateLimited) as caught:
        client.whoami()
    assert caught.value.retry_after == 86400
    assert waits == []


def test_a_submission_is_repeated_with_one_key(client: Client, service: Standin) -> None:
    """A retry would train, and bill, the same job twice."""
    service.busy(2, retry_after="0")
    job = client.jobs.submit(dataset=new_id("ds"))
    sent = service.of("POST", "/v1/jobs")
    assert len(sent) == 3
    assert len({one.headers["idempotency-key"] for one in sent}) == 1
    assert list(service.jobs) == [job.id]
    client.jobs.submit(dataset=new_id("ds"))
    assert len(service.jobs) == 2


def test_a_broken_connection_is_tried_again_where_that_is_safe() -> None:
    """One dropped connection would end the script; a doubled cancel would surprise it."""
    with _Dropper() as dropper, Client(dropper.url, KEY) as client:
        with pytest.raises(ConnectionFailed):
            client.whoami()
        assert dropper.connections == RetryPolicy().attempts
        with pytest.raises(ConnectionFailed):
            client.jobs.cancel(new_id("job"))
        assert dropper.connections == RetryPolicy().attempts + 1
        # Two roll-backs are none, and what was deleted is not found again.
        for once in (lambda: client.models.roll_back("a"), lambda: client.models.delete("a:1")):
            before = dropper.connections
            with pytest.raises(ConnectionFailed):
                once()
            assert dropper.connections == before + 1


def test_no_service_is_said_in_a_sentence(waits: list[float]) -> None:
    """A wrong port would show a stack trace of a library the user has never heard of."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, KEY) as client, pytest.raises(ConnectionFailed, match=f"cannot reach {url}"):
        client.whoami()
    assert len(waits) == RetryPolicy().attempts - 1


def test_errors_carry_what_the_service_said(client: Client, service: Standin) -> None:
    """Without the field's path and the request id the user can only guess."""
    with pytest.raises(ValidationFailed) as caught:
        client.jobs.submit(dataset=new_id("ds"), hyperparameters={"learning_rate": -1})
    assert caught.value.status == 422
    assert caught.value.code == ErrorCode.VALIDATION_FAILED
    assert caught.value.param == "hyperparameters.learning_rate"
    assert caught.value.details[0].message == "Input should be greater than 0"
    assert caught.value.remedy
    assert caught.value.request_id == "req_42"
    assert len(service.seen) == 1


def test_each_meaning_has_its_class(client: Client, service: Standin) -> None:
    """A program could not tell a wrong key from a missing job."""
    with pytest.raises(NotFoundError):
        client.jobs.get(new_id("job"))
    with Client(service.url, "rg_wrong") as other, pytest.raises(AuthenticationError):
        other.whoami()


@pytest.mark.parametrize("status", [302, 200, 404, 418, 500, 502])
def test_what_is_not_the_service_is_told_apart(
    client: Client, service: Standin, status: int
) -> None:
    """A login page or a proxy in between would look like a bug of the service."""
    page = Response("<html>welcome</html>", status, {"Location": "https://sso.example"})
    service.faults.append(lambda: page)
    with pytest.raises((UnexpectedAnswer, ApiError), match=r"127\.0\.0\.1"):
        client.whoami()
    assert len(service.seen) == 1


def test_the_key_stays_out_of_sight(client: Client) -> None:
    """A key in a log or in a notebook's output is a key lost."""
    assert KEY not in repr(client)


@pytest.mark.parametrize("ref", ["", " ", ".", ".."])
def test_an_empty_id_is_no_list(client: Client, service: Standin, ref: str) -> None:
    """`get("")` would read the list and fail in a way nobody understands."""
    with pytest.raises(InvalidInput):
        client.jobs.get(ref)
    assert service.seen == []


def test_an_id_cannot_leave_its_place(client: Client, service: Standin) -> None:
    """An id from a user's form would reach another route with the merchant's key."""
    with pytest.raises(NotFoundError):
        client.models.get("../datasets?x=#y")
    assert service.seen[0].path.startswith("/v1/models/")


@pytest.mark.parametrize("value", [float("nan"), {1, 2}])
def test_what_json_cannot_carry_is_refused_here(
    client: Client, service: Standin, value: object
) -> None:
    """NaN in a body is no JSON: the service could only say that something is wrong somewhere."""
    with pytest.raises(InvalidInput):
        client.jobs.submit(dataset=new_id("ds"), seed=value)
    assert service.seen == []


def test_lists_follow_their_cursors(client: Client, service: Standin) -> None:
    """The second page would silently be missing."""
    for _ in range(5):
        client.jobs.submit(dataset=new_id("ds"))
    found = [job.id for job in client.jobs.list(page_size=2)]
    assert found == list(service.jobs)
    assert len(service.of("GET", "/v1/jobs")) == 3


def test_a_list_is_read_only_as_far_as_needed(client: Client, service: Standin) -> None:
    """Showing ten jobs would read ten thousand."""
    for _ in range(5):
        client.jobs.submit(dataset=new_id("ds"))
    next(iter(client.jobs.list(page_size=2)))
    assert len(service.of("GET", "/v1/jobs")) == 1


def test_a_conflict_is_no_validation_error(client: Client, service: Standin) -> None:
    """A program that waits for a dataset must not treat a typo the same way."""
    service.faults.append(lambda: error(ErrorCode.DATASET_NOT_READY, "still processing"))
    with pytest.raises(ApiError) as caught:
        client.jobs.submit(dataset=new_id("ds"))
    assert type(caught.value).__name__ == "ConflictError"


class _Dropper:
    """A server that takes a request and hangs up."""

    def __init__(self) -> None:
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            peer, _ = self._listener.accept()
            with peer:
                if not peer.recv(65536):
                    return
                self.connections += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        socket.create_connection(self._listener.getsockname()).close()
        self._thread.join()
        self._listener.close()
