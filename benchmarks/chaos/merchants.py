"""Three merchants who keep jobs in flight over HTTP, as a client does: one key, many tries."""

import http.client
import json
import random
import threading
import time
import uuid
from itertools import islice
from typing import Any, NamedTuple

from benchmarks.chaos.cluster import LIGHT, REAL
from benchmarks.chaos.journal import Journal
from regraft.contract.status import TERMINAL
from tests.support.merchants import Merchant

_TIMEOUT = 20.0
_PATIENCE = 90.0
_PAUSE_SECONDS = 0.02
_ACCEPTED, _CONFLICT, _LIMITED, _SERVER, _UNAVAILABLE = 202, 409, 429, 500, 503
_REAL_SHARE = 0.2
_REAL_IN_FLIGHT = 3
_CANCELLED_SHARE = 0.7
_MILLISECONDS = (1, 200, 500, 1000)  # of light jobs
_SHORT, _LONG = (60, 1, 1, 1), (4, 1, 1, 1)  # how often each, with many jobs in flight and with few
_MANY = 30
_OLDEST = 8  # jobs in flight among which the next one to look at is drawn
_LISTED_EVERY = 0.5
_PAGES = 4


class Answer(NamedTuple):
    """What the API said."""

    status: int
    body: dict[str, Any]


class Shop(threading.Thread):
    """One merchant: more or fewer jobs in flight, reads, and now and then a storm of cancels."""

    def __init__(
        self,
        merchant: Merchant,
        datasets: dict[str, str],
        ports: dict[str, int],
        journal: Journal,
        in_flight: int,
    ) -> None:
        super().__init__(name=merchant.name, daemon=True)
        self._merchant = merchant
        self._datasets = datasets
        self._ports = ports
        self._journal = journal
        self._in_flight = in_flight
        self._weights = _SHORT if in_flight >= _MANY else _LONG
        self._dice = random.Random(merchant.name)
        self._count = 0
        self._open: dict[str, str] = {}
        self._listed = 0.0
        self.storm = threading.Event()
        self.closing = threading.Event()

    def run(self) -> None:
        """Work until told to close; what was begun is finished."""
        while not self.closing.is_set():
            self._keep_in_flight(self._dice.randint(1, self._in_flight), self._dice.uniform(1, 6))

    def _keep_in_flight(self, count: int, seconds: float) -> None:
        """Keep so many jobs in flight for some seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.closing.is_set():
            if len(self._open) < count:
                self._submit(self._pool())
            if self.storm.is_set():
                self.storm.clear()
                self._cancel_some()
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

    def _submit(self, pool: str) -> None:
        """Submit one job until it is answered for, with one key."""
        self._count += 1
        spec: dict[str, object] = {
            "dataset": self._datasets[pool],
            "name": f"{self._merchant.name} {self._count}",
            "priority": self._dice.choice((0, 0, 0, 5)),
        }
        if pool == LIGHT:
            spec["hyperparameters"] = {"epochs": self._milliseconds()}
        else:
            spec["validation"] = {"seed": self._count}
        key, deadline = uuid.uuid4().hex, time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            answer = self._ask("POST", "/v1/jobs", spec, key, pool)
            if answer is not None and answer.status == _ACCEPTED:
                self._journal.acknowledge(answer.body["id"], self._merchant.tenant_id)
                self._open[str(answer.body["id"])] = pool
                return
            if answer is not None and answer.status not in {_LIMITED, _UNAVAILABLE}:
                self._journal.refuse("POST /v1/jobs", answer.status)
                return
            time.sleep(0.2)
        self._journal.refuse("POST /v1/jobs: no answer", 0)

    def _milliseconds(self) -> int:
        (drawn,) = self._dice.choices(_MILLISECONDS, self._weights)
        return drawn

    def _look(self) -> None:
        """Poll one of the jobs that are thought to be in flight."""
        if self._open:
            job_id = self._dice.choice(list(islice(self._open, _OLDEST)))
            answer = self._ask("GET", f"/v1/jobs/{job_id}")
            if answer is not None and answer.body.get("status") in TERMINAL:
                del self._open[job_id]

    def _look_through(self) -> None:
        """Page through the newest jobs: with many in flight this costs less than polling each."""
        self._listed = time.monotonic()
        cursor = ""
        for _ in range(_PAGES):
            answer = self._ask("GET", f"/v1/jobs?limit=100{cursor}")
            if answer is None or answer.status != http.client.OK:
                return
            for job in answer.body["data"]:
                if job["status"] in TERMINAL:
                    self._open.pop(job["id"], None)
            if not answer.body["has_more"]:
                return
            cursor = f"&cursor={answer.body['next_cursor']}"

    def _cancel_some(self) -> None:
        for job_id in self._open:
            if self._dice.random() < _CANCELLED_SHARE:
                answer = self._ask("POST", f"/v1/jobs/{job_id}/cancel")
                known = {_ACCEPTED, _CONFLICT, _UNAVAILABLE}
                if answer is not None and answer.status not in known:
                    self._journal.refuse("POST /v1/jobs/…/cancel", answer.status)

    def _ask(
        self, method: str, path: str, body: object = None, key: str = "", pool: str = LIGHT
    ) -> Answer | None:
        """Send one request on a connection of its own; None where no answer came."""
        headers = {**self._merchant.headers, "Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[pool], timeout=_TIMEOUT)
        began = time.monotonic()
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
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
