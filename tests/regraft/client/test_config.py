"""Where the address and the key come from."""

from pathlib import Path

import pytest

import regraft
from regraft.client import Client, InvalidInput
from regraft.client.config import Connection, resolve

FILE = 'url = "http://file"\napi_key = "rg_file"\n'


def write(home: Path, text: str) -> None:
    path = home / "regraft" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def test_arguments_win_over_environment_over_file(home: Path) -> None:
    """A job for the test service would run on the real one."""
    write(home, FILE)
    env = {"XDG_CONFIG_HOME": str(home)}
    assert resolve(None, None, env) == Connection("http://file", "rg_file")
    env["REGRAFT_URL"] = "http://env/"
    assert resolve(None, None, env) == Connection("http://env", "rg_file")
    assert resolve("http://arg", "rg_arg", env) == Connection("http://arg", "rg_arg")


@pytest.mark.parametrize(("url", "key"), [(None, "rg_x"), ("http://x", None)])
def test_what_is_missing_is_named(url: str | None, key: str | None) -> None:
    """The first run on a new machine fails here: it must say which variable to set."""
    with pytest.raises(InvalidInput, match="REGRAFT_URL" if url is None else "REGRAFT_API_KEY"):
        Client(url, key)


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://x", "http://", "http://[::1", "http://a b/", "http://x:99999"]
)
def test_a_malformed_address_is_refused(url: str) -> None:
    """It would end as an exception of a library the user has never heard of."""
    with pytest.raises(InvalidInput, match="no address"):
        Client(url, "rg_x")


@pytest.mark.parametrize("key", ["rg_\nX-Evil: 1", "rg_ä", "two words"])
def test_a_malformed_key_is_refused_and_not_repeated(key: str) -> None:
    """A pasted key with a line break would be a header of its own; in a log it would be lost."""
    with pytest.raises(InvalidInput) as caught:
        Client("http://x", key)
    assert key not in str(caught.value)


@pytest.mark.parametrize("text", ["url = ", "\udcff"])
def test_a_broken_file_is_named(home: Path, text: str) -> None:
    """The user would look for the fault everywhere but in a file of last year."""
    path = home / "regraft" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidInput, match=r"config\.toml"):
        Client()


def test_the_client_is_at_the_top() -> None:
    """`regraft.Client` is what the documentation says."""
    assert regraft.Client is Client
    with pytest.raises(AttributeError):
        _ = regraft.Klient
