"""A stand-in service, a client of it, and a folder of images to push."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from werkzeug.serving import make_server

from api.app import create_app
from api.services import NAME
from core.settings import Settings
from db.session import Database
from regraft.client import Client
from tests.regraft.standin import KEY, Quiet, Standin
from tests.support.merchants import Merchant


@pytest.fixture
def service() -> Iterator[Standin]:
    """A real HTTP server on a port of its own."""
    with Standin() as running:
        yield running


@pytest.fixture
def client(service: Standin) -> Iterator[Client]:
    """A client of the stand-in."""
    with Client(service.url, KEY) as opened:
        yield opened


@pytest.fixture
def url(settings: Settings, database: Database) -> Iterator[str]:
    """The address of the real API."""
    app = create_app(settings, database)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    app.extensions[NAME].merchants.dispose()


@pytest.fixture
def ours(url: str, acme: Merchant) -> Iterator[Client]:
    """The merchant's client."""
    with Client(url, acme.key) as client:
        yield client


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that retries and polls would have slept; none of them is slept."""
    slept: list[float] = []

    def monotonic() -> float:
        return sum(slept)

    clock = SimpleNamespace(sleep=slept.append, monotonic=monotonic)
    monkeypatch.setattr("regraft.client.retry.time", clock)
    monkeypatch.setattr("regraft.client.waiting.time", clock)
    return slept


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without the developer's own settings."""
    for name in ("REGRAFT_URL", "REGRAFT_API_KEY", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    return config


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two classes, with what operating systems leave behind in it."""
    root = tmp_path / "home goods"
    names = ["mug/2.jpg", "mug/1.jpg", "bowl/b.png", "bowl/more/c.txt"]
    junk = [".DS_Store", "mug/Thumbs.db", "__MACOSX/mug/._1.jpg", "bowl/.hidden", ".git/config"]
    for name in [*names, *junk]:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 50)
    return root
