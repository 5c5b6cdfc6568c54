"""The stage of the measurement: a database with merchants' models, and the serving process."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import event

from core.settings import Settings
from db.migrate import upgrade
from db.session import Database
from deploy.processes import start, stop
from deploy.redis import free_port
from regraft.contract.catalog import BACKBONES
from tests.support.merchants import create
from tests.support.served import PREPROCESS, Shelf, random_head, tiny_backbone
from worker.engine.backbone import prepared
from worker.engine.export.shared import shared_parts
from worker.engine.preprocess import settings_of

_READY_SECONDS = 120.0
NUM_LABELS = 10


class Asked(NamedTuple):
    """A merchant and its model."""

    tenant_id: str
    model_id: str


class Backbone(NamedTuple):
    """What models share: the serialised graph, its width, and how photos are prepared for it."""

    name: str
    content: bytes
    num_features: int
    preprocess: dict[str, object]


class Stage(NamedTuple):
    """A running serving process and the models that it may be asked for."""

    port: int
    pid: int
    models: list[Asked]


def real_backbone(name: str, folder: Path) -> Backbone:
    """Return a backbone of the catalogue, exported as a job exports it."""
    record = BACKBONES[name]
    parts = shared_parts(prepared(name, None), folder, True, lambda _said: None)
    if parts.graph is None:
        raise RuntimeError("the export made no graph")
    preprocess = dict(settings_of(record))
    return Backbone(name, parts.graph.read_bytes(), record.num_features, preprocess)


def small_backbone() -> Backbone:
    """Return a backbone that costs nothing, to try the measurement itself."""
    return Backbone("tiny", tiny_backbone(), 3, PREPROCESS)


@contextmanager
def stage(home: Path, backbone: Backbone, num_merchants: int) -> Iterator[Stage]:
    """Yield a serving process over a new database with a model for each merchant."""
    settings = Settings(home=home, database_url=f"sqlite:///{home / 'regraft.db'}")
    upgrade(settings.url)
    database = Database(settings.url)
    event.listen(database.engine, "connect", _be_quick)
    models = _filled(database, backbone, num_merchants)
    database.dispose()
    port = free_port()
    given = {
        **os.environ,
        "REGRAFT_HOME": str(home),
        "REGRAFT_DATABASE_URL": settings.url,
        "REGRAFT_SERVE_BIND": f"127.0.0.1:{port}",
        "REGRAFT_LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "serve/gunicorn_conf.py", "serve.wsgi:app"]
    process = start(command, log=home / "serve.log", environment=given)
    try:
        _wait(f"http://127.0.0.1:{port}/readyz", process)
        yield Stage(port, process.pid, models)
    finally:
        stop(process)


def _be_quick(connection: Any, _record: object) -> None:
    """Let what fills the database, and is measured by nobody, not wait for the disk."""
    connection.execute("PRAGMA synchronous=OFF")


def _filled(database: Database, backbone: Backbone, num_merchants: int) -> list[Asked]:
    shelf = Shelf(database, backbone.content)
    labels = [f"label {number}" for number in range(NUM_LABELS)]
    found = []
    for number in range(num_merchants):
        tenant_id = create(database, f"Merchant {number}").tenant_id
        model_id = shelf.add(
            tenant_id,
            random_head(NUM_LABELS, backbone.num_features, number),
            labels=labels,
            thresholds=[0.5] * NUM_LABELS,
            preprocess=backbone.preprocess,
        )
        found.append(Asked(tenant_id, model_id))
    return found


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
