"""One call of an endpoint, over real sockets: what is met, what is believed, and when it ends."""

import ssl
import time
from collections.abc import Iterator

import pytest

from tests.support.receiver import AUTHORITY, NAME, Receiver, receiver
from worker.control import post as module
from worker.control.post import Rules, post

_BODY = b'{"type":"webhook.test"}'
_HEADERS = {"webhook-id": "evt_1", "Content-Type": "application/json"}


def _rules(*, allow_private: bool = True, timeout: float = 1.0, trust: bool = True) -> Rules:
    context = module.trusted()
    if trust:
        context.load_verify_locations(AUTHORITY)
    return Rules(timeout, allow_private, context)


def _loopback(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.fixture
def plain() -> Iterator[Receiver]:
    """A receiver without TLS."""
    with receiver() as made:
        yield made


@pytest.fixture
def secure() -> Iterator[Receiver]:
    """A receiver whose certificate names `hooks.example.com`."""
    with receiver(tls=True) as made:
        yield made


def test_a_2xx_is_a_success(plain: Receiver) -> None:
    """A receiver that took an event would get it again for a day."""
    outcome = post(plain.url("/a?b=c"), _HEADERS, _BODY, _rules())
    assert outcome.is_success
    assert outcome.status_code == 204
    (heard,) = plain.heard
    assert (heard.path, heard.body, heard.event_id) == ("/a?b=c", _BODY, "evt_1")
    assert heard.headers["host"] == f"127.0.0.1:{plain.port}"


def test_tls_is_judged_by_the_name_while_the_address_is_pinned(secure: Receiver) -> None:
    """Whoever stands between us and a merchant could read events, or every call would fail."""
    outcome = post(secure.url(), _HEADERS, _BODY, _rules(), _loopback)
    assert outcome.is_success
    assert secure.heard[0].headers["host"] == f"{NAME}:{secure.port}"
    unknown = post(secure.url(), _HEADERS, _BODY, _rules(trust=False), _loopback)
    assert (unknown.status_code, unknown.error) == (None, "tls_failed")
    other = secure.url().replace(NAME, "other.example.com")
    assert post(other, _HEADERS, _BODY, _rules(), _loopback).error == "tls_failed"
    assert len(secure.heard) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "bad"])
def test_a_name_that_leads_inside_is_not_called(secure: Receiver, address: str) -> None:
    """B44: a name that was public when it was given could be turned on the service itself."""
    where = secure.url().replace(str(secure.port), "8443")
    calls: list[str] = []

    def rebound(host: str, _port: int) -> list[str]:
        calls.append(host)
        return ["93.184.216.34", address]

    outcome = post(where, _HEADERS, _BODY, _rules(allow_private=False), rebound)
    assert (outcome.status_code, outcome.error) == (None, "address_forbidden")
    assert calls == [NAME]
    assert secure.heard == []


def test_the_name_is_asked_for_once(secure: Receiver) -> None:
    """A second look-up could answer with another address than the one that was judged."""
    calls: list[str] = []

    def changing(host: str, _port: int) -> list[str]:
        calls.append(host)
        return ["127.0.0.1"] if len(calls) == 1 else ["10.0.0.1"]

    assert post(secure.url(), _HEADERS, _BODY, _rules(), changing).is_success
    assert calls == [NAME]


def test_a_redirect_is_not_followed(plain: Receiver) -> None:
    """B45: a receiver could send us inside, with a signed body."""
    plain.habit = "redirect"
    outcome = post(plain.url(), _HEADERS, _BODY, _rules())
    assert (outcome.is_success, outcome.status_code) == (False, 302)
    assert [heard.path for heard in plain.heard] == ["/hooks"]


@pytest.mark.parametrize(
    ("habit", "status", "error"),
    [
        ("error", 500, None),
        ("gone", 410, None),
        ("reset", None, "connection_broken"),
        ("stall", None, "timed_out"),
        ("drip", None, "timed_out"),
    ],
)
def test_bad_habits(plain: Receiver, habit: str, status: int | None, error: str | None) -> None:
    """A failure would be taken for a success, or a slow receiver would hold its place for ever."""
    plain.habit = habit
    started = time.monotonic()
    outcome = post(plain.url(), _HEADERS, _BODY, _rules())
    assert (outcome.status_code, outcome.error) == (status, error)
    assert not outcome.is_success
    assert time.monotonic() - started < 2.5


def test_a_huge_answer_is_left_unread(plain: Receiver) -> None:
    """A receiver could fill the memory and the line of the service."""
    plain.habit = "huge"
    outcome = post(plain.url(), _HEADERS, _BODY, _rules())
    assert outcome.is_success
    assert outcome.seconds < 1


def test_nobody_there_and_no_such_name(plain: Receiver) -> None:
    """An outage of a receiver would end a courier's thread."""
    plain.stop()
    assert post(plain.url(), _HEADERS, _BODY, _rules()).error == "unreachable"
    plain.start()

    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError

    assert post(plain.url(), _HEADERS, _BODY, _rules(), unknown).error == "name_not_found"
    assert post(plain.url(), _HEADERS, _BODY, _rules(), lambda *_: []).error == "name_not_found"
    assert post("https://127.1/", _HEADERS, _BODY, _rules(allow_private=False)).error == (
        "address_forbidden"
    )


def test_the_next_address_is_tried(plain: Receiver) -> None:
    """A receiver with a dead IPv6 address would never be reached."""
    where = plain.url().replace("127.0.0.1", "shop.example.com")
    two = ["::ffff:127.0.0.2", "127.0.0.1"]
    assert post(where, _HEADERS, _BODY, _rules(timeout=4.0), lambda *_: two).is_success


def test_certificates_are_always_checked() -> None:
    """A changed default of the library would let everybody in between."""
    context = module.trusted()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
