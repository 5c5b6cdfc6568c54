"""What uploads and downloads cost others.

Their own speed, and how another merchant is answered meanwhile, beside a quiet service.
"""

import random
import select
import socket
import statistics
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.control import load
from benchmarks.control.bench import Bench, tiny_set
from benchmarks.control.load import Request
from db.blobs import SqlBlobStore
from db.models import FileSegment, ModelFile
from deploy.stack import Account
from regraft.client import Client

_MEGABYTE = 1024 * 1024
_FILE = "weights.bin"
_SLOW = 50
_PIECE, _PAUSE = 4096, 0.2  # 20 KiB a second, above the least rate that the API takes


class Mover:
    """Moves megabytes again and again in a thread of its own, and counts them."""

    def __init__(self, move: Callable[[], float], megabytes: int) -> None:
        self._move = move
        self._megabytes = megabytes
        self._seconds: list[float] = []
        self._ending = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._seconds.append(self._move())

    def __enter__(self) -> Self:
        self._moving = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._pool.shutdown()
        self._moving.result()

    def shown(self) -> dict[str, float]:
        """Return how often it was moved, and how fast: the median."""
        return {
            "times": len(self._seconds),
            "megabytes": self._megabytes,
            "megabytes_per_second": round(self._megabytes / statistics.median(self._seconds), 1),
        }


def transfers(bench: Bench, megabytes: int) -> dict[str, Any]:
    """Measure another merchant's lists and submits: alone, and beside each kind of transfer."""
    account = bench.stack.create_merchant("Other")
    with Client(bench.stack.url, account.key) as client, ExitStack() as held:
        dataset = client.datasets.wait(client.datasets.push(tiny_set(bench.stack.home)).id).id
        model = _large_model(bench, megabytes)
        held.enter_context(bench.without_workers())
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))

        def others() -> dict[str, Any]:
            asked = {"list": Request("GET", "/v1/jobs"), "submit": bench.submit_of(dataset)}
            return {name: _load(bench, account, request) for name, request in asked.items()}

        found: dict[str, Any] = {"quiet": others()}
        for name, move in (
            ("upload", lambda: _upload(bench, folder, megabytes)),
            ("download", lambda: _download(bench, model, folder)),
        ):
            with Mover(move, megabytes) as mover:
                meanwhile = others()
            found[name] = {**mover.shown(), "meanwhile": meanwhile}
        with slow_uploads(bench.stack.url, bench.account.key) as refused:
            meanwhile = others()
            found["slow_uploads"] = {"connections": _SLOW, "refused": refused()}
        found["slow_uploads"]["meanwhile"] = meanwhile
        bench.drop_queued()
    return found


def _load(bench: Bench, account: Account, request: Request) -> dict[str, float]:
    return load.run(
        bench.stack.url, account.key, lambda: request, clients=1, seconds=bench.seconds
    ).shown()


def _upload(bench: Bench, folder: Path, megabytes: int) -> float:
    """Push a set that nobody has pushed before and return the seconds until it was stored."""
    source = folder / "set.zip"
    with zipfile.ZipFile(source, "w") as out:
        for number in range(megabytes):
            out.writestr(f"{'ab'[number % 2]}/{number}.jpg", random.randbytes(_MEGABYTE))
    with Client(bench.stack.url, bench.account.key) as client:
        began = time.perf_counter()
        client.datasets.push(source)
        return time.perf_counter() - began


def _download(bench: Bench, model: str, folder: Path) -> float:
    """Download the large file and return the seconds until it was here and checked."""
    with Client(bench.stack.url, bench.account.key) as client:
        began = time.perf_counter()
        client.models.download(model, _FILE, folder).unlink()
        return time.perf_counter() - began


def _large_model(bench: Bench, megabytes: int) -> str:
    """Train a model, give it one large file besides, and return its id."""
    with Client(bench.stack.url, bench.account.key) as client:
        job = client.jobs.wait(client.jobs.submit(dataset=bench.dataset).id)
    model, tenant = str(job.model), bench.account.merchant
    blob = SqlBlobStore(bench.database).put_bytes(tenant, random.randbytes(megabytes * _MEGABYTE))
    owner = {"model_id": model, "tenant_id": tenant}
    with bench.database.write() as session:
        session.add(ModelFile(**owner, name=_FILE, size=blob.size, sha256=blob.sha256))
        session.flush()
        where = {"scope": tenant, "blob_sha256": blob.sha256, "offset": 0, "length": blob.size}
        session.add(FileSegment(**owner, file_name=_FILE, seq=0, **where))
    return model


@contextmanager
def slow_uploads(url: str, key: str) -> Iterator[Callable[[], int]]:
    """Hold uploads that come slowly but surely; yields what counts those that were turned away."""
    address = (str(urlsplit(url).hostname), urlsplit(url).port or 80)
    head = (
        f"POST /v1/datasets HTTP/1.1\r\nHost: {address[0]}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 400000000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a.zip"\r\n\r\n'
    ).encode()
    held = [socket.create_connection(address, timeout=20) for _ in range(_SLOW)]
    ending = threading.Event()
    thread = threading.Thread(target=_drip, args=(held, head, ending))
    thread.start()
    try:
        yield lambda: len(select.select(held, [], [], 0)[0])
    finally:
        ending.set()
        thread.join()
        for one in held:
            one.close()


def _drip(held: list[socket.socket], head: bytes, ending: threading.Event) -> None:
    sent = head
    left = list(held)
    while not ending.wait(_PAUSE):
        answered = select.select(left, [], [], 0)[0]
        left = [one for one in left if one not in answered]
        for one in left:
            one.sendall(sent)
        sent = b"x" * _PIECE
