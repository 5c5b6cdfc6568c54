"""Addresses that a merchant gives: what is no https address, and what leads inside."""

import pytest

from core.endpoints import Endpoint, parse
from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode

_INVALID = [
    *(
        "http://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://hooks.example.com/",
        "ftp://a.b",
    ),
    *("https://user:pass@hooks.example.com/", "https://user@hooks.example.com/"),
    *("https://hooks.example.com:22/", "https://hooks.example.com:6379/"),
    *("https://hooks.example.com:99999/", "https://hooks.example.com:x/", "https:///x", "https:x"),
    *("https://hooks.example.com/a b", "https://hooks.example.com/\\@evil.com", "https://a.b/#x"),
    *("https://hooks.example.com/\r\nHost: evil", "https://häuser.example/", "", "https://"),
    *("https://hooks..example.com/", "https://-a.example.com/", "https://[::1/", "https://[a.b]/"),
    *("https://hooks.example.com:0/", "https://a.example.com%00.b/"),
]
_FORBIDDEN = [
    *("127.1", "2130706433", "0x7f000001", "017700000001", "127.0.0.1", "[::1]", "0x7f.1"),
    *("[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]"),
    *("169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.0", "10.0.0.1", "1.2.3.08"),  # noqa: S104
    *(
        "[fe80::1%25eth0]",
        "localhost",
        "LOCALHOST",
        "redis",
        "db.internal",
        "printer.local",
        "a.localhost",
    ),
]


@pytest.mark.parametrize("url", _INVALID)
def test_what_is_no_https_address(url: str) -> None:
    """B42: a merchant's event would go out in the clear, or to a service that is no web server."""
    with pytest.raises(RefusedError) as refused:
        parse(url)
    assert refused.value.code is ErrorCode.WEBHOOK_URL_INVALID
    assert refused.value.param == "url"


@pytest.mark.parametrize("host", _FORBIDDEN)
def test_what_leads_inside(host: str) -> None:
    """B43: the service would call itself, its database, or a cloud's credentials."""
    with pytest.raises(RefusedError) as refused:
        parse(f"https://{host}/hooks")
    assert refused.value.code is ErrorCode.WEBHOOK_URL_FORBIDDEN


def test_a_public_address_is_taken_apart() -> None:
    """A call would go to another place than the merchant named."""
    assert parse("https://Hooks.Example.com/a/b?c=d") == Endpoint(
        "https", "hooks.example.com", 443, "/a/b?c=d"
    )
    assert parse("https://hooks.example.com:8443") == Endpoint(
        "https", "hooks.example.com", 8443, "/"
    )
    assert parse("https://[2606:4700::1111]/").host == "2606:4700::1111"


def test_in_development_everything_may_be_called() -> None:
    """Nobody could try webhooks on one machine."""
    assert parse("http://127.0.0.1:5000/x", allow_private=True).port == 5000
    with pytest.raises(RefusedError):
        parse("file:///etc/passwd", allow_private=True)
