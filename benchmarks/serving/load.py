"""Requests to the serving process, as the API sends them, and what they took."""

import http.client
import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving.stage import Asked, Stage
from core.serving import Asked as Request
from core.serving import Photo, authorization, written

_OK = 200
_SECONDS = 60.0


class Figures(NamedTuple):
    """What a load gave: photos a second, milliseconds a request, requests refused."""

    clients: int
    photos_per_second: float
    p50_ms: float
    p99_ms: float
    refused: int


def run(
    stage: Stage, models: Sequence[Asked], photos: Sequence[bytes], clients: int, seconds: float
) -> Figures:
    """Ask for the models in turn on `clients` connections, one photo a request, for so long."""
    turns = itertools.count()
    times: list[float] = []
    refused: list[int] = []
    until = time.monotonic() + seconds

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=_SECONDS)
        while time.monotonic() < until:
            turn = next(turns)
            started = time.perf_counter()
            status = _post(connection, models[turn % len(models)], photos[turn % len(photos)])
            taken = time.perf_counter() - started
            if status == _OK:
                times.append(taken)
            else:
                refused.append(status)
        connection.close()

    began = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _figures(clients, times, len(refused), time.monotonic() - began)


def once(stage: Stage, models: Sequence[Asked], photo: bytes) -> None:
    """Ask each model once; raises where one does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", stage.port, timeout=_SECONDS)
    for model in models:
        status = _post(connection, model, photo)
        if status != _OK:
            raise RuntimeError(f"{model.model_id} answered {status}")
    connection.close()


def memory(pid: int) -> int:
    """Return what a process and its descendants hold of memory, shared pages counted once."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:
            continue
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(_proportional(member) for member in family)


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _post(connection: http.client.HTTPConnection, model: Asked, photo: bytes) -> int:
    asked = Request(
        **model._asdict(), photos=(Photo(name="a.jpg", group=None, size=len(photo)),), seconds=30.0
    )
    headers = {"Authorization": authorization("")}
    connection.request("POST", "/predict", written(asked, [photo]), headers)
    response = connection.getresponse()
    response.read()
    return response.status


def _figures(clients: int, times: list[float], refused: int, seconds: float) -> Figures:
    ordered = sorted(times) or [0.0]

    def percentile(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)

    rate = round(len(times) / seconds, 1)
    return Figures(clients, rate, percentile(0.5), percentile(0.99), refused)
