"""Three merchants who keep jobs in flight over HTTP, as a client does: one key, many tries."""

import http.client
import io
import json
import random
import threading
import time
import uuid
import zipfile
from itertools import islice
from typing import Any, NamedTuple

from benchmarks.chaos.cluster import LIGHT, REAL
from benchmarks.chaos.journal import Journal
from regraft.contract.status import TERMINAL, JobStatus
from tests.support.jobs import picture
from tests.support.merchants import Merchant

_TIMEOUT = 20.0
_PATIENCE = 90.0
_PAUSE_SECONDS = 0.02
_ACCEPTED, _CONFLICT, _LIMITED, _SERVER, _UNAVAILABLE = 202, 409, 429, 500, 503
_REAL_SHARE = 0.2
_REAL_IN_FLIGHT = 3
_USED_SHARE = 0.4  # of real submissions, once there is a model
_CANCELLED_SHARE = 0.7
_STEERED_SHARE = 0.02
_UPLOAD_SHARE = 0.005
_REPEATED_SHARE = 0.5
_EDGE = "chaos-5f2b9c"
_LABELS = ("mug", "plate")
_PHOTOS = 3
_MILLISECONDS = (1, 200, 500, 1000)  # of light jobs
_SHORT, _LONG = (60, 1, 1, 1), (4, 1, 1, 1)  # how often each, with many jobs in flight and with few
_MANY = 30
_OLDEST = 8  # jobs in flight among which the next one to look at is drawn
_LISTED_EVERY = 1.5
_PAGES = 4


class Answer(NamedTuple):
    """What the API said."""

    status: int
    body: dict[str, Any]


class Body(NamedTuple):
    """What a request carries, and its media type."""

    data: bytes | None = None
    kind: str = "application/json"


_NOTHING = Body()


class Shop(threading.Thread):
    """One merchant: more or fewer jobs in flight, reads, uploads, pauses, storms of cancels."""

    def __init__(
        self,
        merchant: Merchant,
        datasets: dict[str, str],
        ports: dict[str, int],
        journal: Journal,
        in_flight: int,
    ) -> None:
        super().__init__(name=merchant.name, daemon=True)
        self.merchant = merchant
        self._datasets = datasets
        self._ports = ports
        self._journal = journal
        self._in_flight = in_flight
        self._weights = _SHORT if in_flight >= _MANY else _LONG
        self._dice = random.Random(merchant.name)
        self._count = 0
        self._open: dict[str, str] = {}
        self._batches: set[str] = set()
        self._model: str | None = None
        self._listed = 0.0
        self._paused: dict[str, str] = {}
        self.storm = threading.Event()
        self.closing = threading.Event()

    def run(self) -> None:
        """Work until told to close; what was begun is finished. Not to work is a breach."""
        try:
            self._work()
        except BaseException:
            self._journal.refuse(f"{self.name} gave up", 0)
            raise

    def _work(self) -> None:
        while not self.closing.is_set():
            self._keep_in_flight(self._dice.randint(1, self._in_flight), self._dice.uniform(1, 6))
        deadline = time.monotonic() + _PATIENCE
        while self._paused and time.monotonic() < deadline:
            self._resume()
            time.sleep(_PAUSE_SECONDS)

    def _keep_in_flight(self, count: int, seconds: float) -> None:
        """Keep so many jobs in flight for some seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.closing.is_set():
            if len(self._open) < count:
                self._begin(self._pool())
            if self.storm.is_set():
                self.storm.clear()
                self._cancel_some()
            if self._dice.random() < _STEERED_SHARE:
                self._dice.choice((self._pause, self._resume))()
            if self._dice.random() < _UPLOAD_SHARE:
                self._upload()
            if self._in_flight < _MANY:
                self._look()
            elif time.monotonic() - self._listed >= _LISTED_EVERY:
                self._look()
                self._look_through()
            time.sleep(_PAUSE_SECONDS)

    def _pool(self) -> str:
        """Choose who trains the next job; the real engine is slow and must not hold up the rest."""
        waiting = sum(pool == REAL for pool in self._open.values())
        real = REAL in self._datasets and waiting < _REAL_IN_FLIGHT
        return REAL if real and self._dice.random() < _REAL_SHARE else LIGHT

    def _begin(self, pool: str) -> None:
        """Train a model, or let the newest that was trained answer about the merchant's photos."""
        self._count += 1
        spec: dict[str, object] = {
            "dataset": self._datasets[pool],
            "name": f"{self.merchant.name} {self._count}",
            "priority": self._dice.choice((0, 0, 0, 5)),
        }
        if pool == REAL and self._model is not None and self._dice.random() < _USED_SHARE:
            if self._dice.random() < 1 / 2:
                self._submit("/v1/batches", {**spec, "model": self._model}, pool)
            else:
                self._submit(f"/v1/models/{self._model}/evaluate", spec, pool)
        elif pool == REAL:
            self._submit("/v1/jobs", {**spec, "validation": {"seed": self._count}}, pool)
        else:
            epochs = {"epochs": self._milliseconds()}
            self._submit("/v1/jobs", {**spec, "hyperparameters": epochs}, pool)

    def _submit(self, path: str, spec: dict[str, object], pool: str) -> None:
        """Submit one job until it is answered for, with one key."""
        found = self._insist(path, Body(json.dumps(spec).encode()), uuid.uuid4().hex, pool)
        if found is not None:
            self._open[found] = pool
            if path == "/v1/batches":
                self._batches.add(found)

    def _upload(self) -> None:
        """Upload a small dataset until it is answered for; now and then say it once more."""
        self._count += 1
        body = _form(f"{self.merchant.name} {self._count}", _photos(self._count))
        key = uuid.uuid4().hex
        first = self._insist("/v1/datasets", body, key)
        if first is not None and self._dice.random() < _REPEATED_SHARE:
            again = self._insist("/v1/datasets", body, key)
            if again not in {first, None}:
                self._journal.refuse("POST /v1/datasets: the same key, another dataset", 0)

    def _insist(self, path: str, body: Body, key: str, pool: str = LIGHT) -> str | None:
        """Send a request with one key until it is answered; return the id that it created."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            answer = self._ask("POST", path, body, key, pool)
            if answer is not None and answer.status == _ACCEPTED:
                found = str(answer.body["id"])
                self._journal.acknowledge(found, self.merchant.tenant_id)
                return found
            if answer is not None and answer.status not in {_LIMITED, _UNAVAILABLE}:
                self._journal.refuse(f"POST {path}", answer.status)
                return None
            time.sleep(0.2)
        self._journal.refuse(f"POST {path}: no answer", 0)
        return None

    def _milliseconds(self) -> int:
        (drawn,) = self._dice.choices(_MILLISECONDS, self._weights)
        return drawn

    def _look(self) -> None:
        """Poll one of the oldest jobs that are thought to be in flight: it has probably ended."""
        if self._open:
            job = self._shown(self._dice.choice(list(islice(self._open, _OLDEST))))
            if job is not None:
                self._notice(job)

    def _notice(self, job: dict[str, Any]) -> None:
        """Take a job that has ended off the list, and its model into use if it is a real one."""
        pool = self._open.pop(job["id"], None) if job["status"] in TERMINAL else None
        if pool == REAL and job["model"] is not None:
            self._model = job["model"]

    def _look_through(self) -> None:
        """Page through the newest jobs: with many in flight this costs less than polling each."""
        self._listed = time.monotonic()
        cursor = ""
        for _ in range(_PAGES):
            answer = self._ask("GET", f"/v1/jobs?limit=100{cursor}")
            if answer is None or answer.status != http.client.OK:
                return
            for job in answer.body["data"]:
                self._notice(job)
            if not answer.body["has_more"]:
                return
            cursor = f"&cursor={answer.body['next_cursor']}"

    def _pause(self) -> None:
        """Pause one of the jobs that are thought to be in flight; it is resumed some time."""
        if self._open:
            job_id = self._dice.choice(list(self._open))
            self._paused[job_id] = self._open.pop(job_id)
            self._steer(job_id, "pause")

    def _resume(self) -> None:
        """Let one of the jobs that were paused go on, unless it ended before it was."""
        if self._paused:
            job_id = self._dice.choice(list(self._paused))
            status = (self._shown(job_id) or {}).get("status")
            if status == JobStatus.PAUSED and self._steer(job_id, "resume"):
                self._open[job_id] = self._paused.pop(job_id)
            elif status in TERMINAL:
                del self._paused[job_id]

    def _cancel_some(self) -> None:
        for job_id in (*self._open, *self._paused):
            if self._dice.random() < _CANCELLED_SHARE:
                self._steer(job_id, "cancel")

    def _steer(self, job_id: str, verb: str) -> bool:
        """Ask for a change of a job's course; return whether it was accepted."""
        answer = self._ask("POST", f"{self._address(job_id)}/{verb}")
        known = {_ACCEPTED, _CONFLICT, _LIMITED, _UNAVAILABLE}
        if answer is not None and answer.status not in known:
            self._journal.refuse(f"POST …/{verb}", answer.status)
        return answer is not None and answer.status == _ACCEPTED

    def _shown(self, job_id: str) -> dict[str, Any] | None:
        """Return what the service says of a job or a batch, None where it said nothing of it."""
        answer = self._ask("GET", self._address(job_id))
        if answer is None or answer.status != http.client.OK:
            return None
        return answer.body

    def _address(self, job_id: str) -> str:
        return f"/v1/{'batches' if job_id in self._batches else 'jobs'}/{job_id}"

    def _ask(
        self, method: str, path: str, body: Body = _NOTHING, key: str = "", pool: str = LIGHT
    ) -> Answer | None:
        """Send one request on a connection of its own; None where no answer came."""
        headers = {**self.merchant.headers, "Content-Type": body.kind}
        if key:
            headers["Idempotency-Key"] = key
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[pool], timeout=_TIMEOUT)
        began = time.monotonic()
        try:
            connection.request(method, path, body.data, headers)
            response = connection.getresponse()
            answer = Answer(response.status, json.loads(response.read()))
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        self._note(method, path, answer, time.monotonic() - began)
        return answer

    def _note(self, method: str, path: str, answer: Answer, seconds: float) -> None:
        if method == "GET":
            self._journal.reads.append(seconds)
        if answer.status >= _SERVER:
            self._journal.refuse(f"{method} {path}", answer.status)


def _photos(number: int) -> bytes:
    """Return a zip of a few images, others for each number."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for place, label in enumerate(_LABELS * _PHOTOS):
            image = picture(number * len(_LABELS) * _PHOTOS + place, size=(64, 64))
            archive.writestr(f"{label}/{place}.png", image)
    return packed.getvalue()


def _form(name: str, file: bytes) -> Body:
    """Return an upload: a dataset's name and its container."""
    part = f"--{_EDGE}\r\nContent-Disposition: form-data; name="
    head = f'{part}"name"\r\n\r\n{name}\r\n{part}"file"; filename="photos.zip"\r\n\r\n'
    data = head.encode() + file + f"\r\n--{_EDGE}--\r\n".encode()
    return Body(data, f"multipart/form-data; boundary={_EDGE}")
