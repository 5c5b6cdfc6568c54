"""One campaign: the embedded stack, requests of every kind at once, and what is left of it."""

import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import func, select

from benchmarks.fuzz import damage, generated
from benchmarks.fuzz.tally import Tally
from benchmarks.fuzz.target import Target, by_chance
from core.settings import Settings
from db.models import Job
from db.session import Database
from deploy.stack import Stack
from tests.support.api import zipped
from tests.support.jobs import picture

_SERVICE = {
    "REGRAFT_TRAINER_COMMAND": json.dumps([sys.executable, "-m", "tests.support.light_trainer"]),
    "REGRAFT_LOG_LEVEL": "WARNING",
    "REGRAFT_API_RATE_REQUESTS": str(10**9),
    "REGRAFT_API_HEAD_SECONDS": "2",
    "REGRAFT_API_BODY_SECONDS": "5",
    "REGRAFT_API_IDLE_SECONDS": "5",
}
_TIMEOUT = 30
_SETTLE_SECONDS = 120
_MOST_UNCHECKED, _WAIT_SECONDS = 5, 20
_PIECE = 65_536
_FORM = ("/v1/datasets", "multipart/form-data; boundary=x")
_UPLOADS = (
    ("images", damage.pictures),
    ("zips", damage.archive),
    ("parquet", damage.columns),
)
_WHERE = {
    "images": _FORM,
    "zips": _FORM,
    "parquet": _FORM,
    "json": ("/v1/jobs", "application/json"),
}
_LEFT = ("uploads", "work")


def run(home: Path, seconds: float, seed: int) -> dict[str, object]:
    """Fuzz a new service for so many seconds, and return the JSON line's fields."""
    tally = Tally()
    with Stack(home, environment=_SERVICE) as stack:
        target = _target(stack)
        before = _processes(stack)
        _attack(target, tally, seconds, seed)
        unsettled = _settle(target)
        dead = _dead(before, _processes(stack))
        lost = _lost(home)
    leaked = [path for name in _LEFT for path in (home / name).rglob("*")]
    for pid in dead:
        tally.breach(f"process {pid} died: {before[pid]}")
    if lost:
        tally.breach(f"{lost} attempts were lost")
    if unsettled:
        tally.breach(f"{unsettled} datasets are still processing")
    for path in leaked:
        tally.breach(f"left behind: {path}")
    return {
        "seconds": seconds,
        "seed": seed,
        **tally.shown(),
        "dead_processes": len(dead),
        "leaked_files": len(leaked),
        "clean": not tally.breaches,
    }


def _attack(target: Target, tally: Tally, seconds: float, seed: int) -> None:
    """Send every kind of request at the same time, each kind in a thread of its own."""
    until = time.monotonic() + seconds
    damaging: list[Callable[[Target, Tally, random.Random], None]] = [_upload, _submit, _raw]
    threads = [
        threading.Thread(target=_repeat, args=(one, target, tally, until, seed + number))
        for number, one in enumerate(damaging)
    ]
    for thread in threads:
        thread.start()
    try:
        generated.send_all(target, tally, until, seed)
    finally:
        for thread in threads:
            thread.join()


def _repeat(
    send: Callable[[Target, Tally, random.Random], None],
    target: Target,
    tally: Tally,
    until: float,
    seed: int,
) -> None:
    rng = random.Random(seed)
    while time.monotonic() < until:
        send(target, tally, rng)


def _upload(target: Target, tally: Tally, rng: random.Random) -> None:
    kind, make = rng.choice(_UPLOADS)
    body = damage.form(make(rng), rng)
    _post(target, tally, kind, body)
    patience = time.monotonic() + _WAIT_SECONDS
    while _processing(target, pages=1) > _MOST_UNCHECKED and time.monotonic() < patience:
        time.sleep(0.2)


def _submit(target: Target, tally: Tally, rng: random.Random) -> None:
    _post(target, tally, "json", damage.submission(target.dataset, rng))


def _post(target: Target, tally: Tally, kind: str, body: bytes) -> None:
    path, media = _WHERE[kind]
    headers = {**target.headers, "Content-Type": media}
    with tally.timed(kind):
        answer = requests.post(target.url + path, body, headers=headers, timeout=_TIMEOUT)
    tally.answered(kind, answer.status_code, answer.content, body)


def _raw(target: Target, tally: Tally, rng: random.Random) -> None:
    """Send bytes that are hardly a request, half of them in two pieces."""
    sent = damage.request(target.key, rng)
    host, _, port = target.url.removeprefix("http://").partition(":")
    found = b""
    with tally.timed("headers"), socket.create_connection((host, int(port)), _TIMEOUT) as held:
        try:
            cut = rng.randrange(len(sent) + 1) if by_chance(rng, 50) else len(sent)
            held.sendall(sent[:cut])
            held.sendall(sent[cut:])
            held.shutdown(socket.SHUT_WR)
            while piece := held.recv(_PIECE):
                found += piece
        except ConnectionError:
            pass  # the service may hang up on what is no request
    head, _, body = found.partition(b"\r\n\r\n")
    if found:
        tally.answered("headers", int(head.split()[1]), _single(head, body), sent)


def _single(head: bytes, body: bytes) -> bytes:
    """Return the body where one answer came alone; nothing to judge where several followed."""
    return b"" if b"HTTP/1." in body or b"transfer-encoding" in head.lower() else body


def _target(stack: Stack) -> Target:
    key = stack.create_merchant("Fuzz").key
    headers = {"Authorization": f"Bearer {key}"}
    files = {"mug/1.png": picture(1), "mug/2.png": picture(2), "cup/3.png": picture(3)}
    form = {"file": ("set.zip", zipped(files))}
    made = requests.post(
        f"{stack.url}/v1/datasets",
        data={"name": "sound"},
        files=form,
        headers=headers,
        timeout=_TIMEOUT,
    )
    target = Target(stack.url, key, made.json()["id"], "")
    if _settle(target):
        raise RuntimeError(f"the first dataset was not checked; see {stack.logs}")
    submitted = requests.post(
        f"{stack.url}/v1/jobs",
        json={"dataset": target.dataset},
        headers=headers,
        timeout=_TIMEOUT,
    )
    return target._replace(job=submitted.json()["id"])


def _settle(target: Target) -> int:
    """Wait until every dataset has its verdicts, or nothing moves; return how many have none."""
    left, deadline = -1, 0.0
    while True:
        now_left = _processing(target)
        if now_left != left:
            left, deadline = now_left, time.monotonic() + _SETTLE_SECONDS
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.3)


def _processing(target: Target, pages: int = 1000) -> int:
    """Return how many of the datasets on the newest pages have no verdicts yet."""
    count: int = 0
    params = {"limit": "100"}
    for _ in range(pages):
        page: dict[str, Any] = requests.get(
            f"{target.url}/v1/datasets",
            params=params,
            headers=target.headers,
            timeout=_TIMEOUT,
        ).json()
        count += sum(one["status"] == "processing" for one in page["data"])
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    return count


def _dead(before: dict[int, str], after: dict[int, str]) -> list[int]:
    """Return the processes that are gone, but for those that others of their kind replace.

    A worker replaces its child after so many jobs on purpose; one that dies loses its attempt.
    """
    missing = Counter(before.values()) - Counter(after.values())
    gone = sorted(before.keys() - after.keys())
    return [pid for pid in gone if before[pid] in missing]


def _lost(home: Path) -> int:
    """Return how many attempts were lost with their process."""
    database = Database(Settings(home=home).url)
    with database.read() as session:
        found = session.scalar(select(func.sum(Job.lost_count))) or 0
    database.dispose()
    return found


def _processes(stack: Stack) -> dict[int, str]:
    """Return the stack's processes and their own first children, by process id."""
    mine = {process.pid: name for name, process in stack.processes.items()}
    found = dict(mine)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent in mine:
                found[int(entry.name)] = mine[parent]
    return {pid: name for pid, name in found.items() if Path(f"/proc/{pid}").exists()}
