"""Three merchants who submit bursts of jobs over HTTP, as a client does: one key, many tries."""

import http.client
import json
import random
import threading
import time
import uuid
from typing import Any, NamedTuple

from benchmarks.chaos.cluster import LIGHT, REAL
from benchmarks.chaos.journal import Journal
from regraft.contract.status import TERMINAL
from tests.support.merchants import Merchant

_TIMEOUT = 20.0
_PATIENCE = 90.0
_LONGEST_WAIT = 12.0
_ACCEPTED, _CONFLICT, _LIMITED, _SERVER, _UNAVAILABLE = 202, 409, 429, 500, 503
_REAL_SHARE = 0.2
_CANCELLED_SHARE = 0.7
_MILLISECONDS = (1, 1, 1, 1, 200, 500, 1000)


class Answer(NamedTuple):
    """What the API said."""

    status: int
    body: dict[str, Any]


class Shop(threading.Thread):
    """One merchant: bursts of jobs, reads, and now and then a storm of cancels."""

    def __init__(
        self, merchant: Merchant, datasets: dict[str, str], ports: dict[str, int], journal: Journal
    ) -> None:
        super().__init__(name=merchant.name, daemon=True)
        self._merchant = merchant
        self._datasets = datasets
        self._ports = ports
        self._journal = journal
        self._dice = random.Random(merchant.name)
        self._count = 0
        self.storm = threading.Event()
        self.closing = threading.Event()

    def run(self) -> None:
        """Work until told to close; what was begun is finished."""
        while not self.closing.is_set():
            burst = [self._submit(self._pool()) for _ in range(self._dice.randint(5, 40))]
            self._follow([job_id for job_id in burst if job_id])
            self.closing.wait(self._dice.uniform(0, 2))

    def _pool(self) -> str:
        return REAL if REAL in self._datasets and self._dice.random() < _REAL_SHARE else LIGHT

    def _submit(self, pool: str) -> str | None:
        """Submit one job until it is answered for, with one key; return its id."""
        self._count += 1
        spec: dict[str, object] = {
            "dataset": self._datasets[pool],
            "name": f"{self._merchant.name} {self._count}",
            "priority": self._dice.choice((0, 0, 0, 5)),
        }
        if pool == LIGHT:
            spec["hyperparameters"] = {"epochs": self._dice.choice(_MILLISECONDS)}
        else:
            spec["validation"] = {"seed": self._count}
        key, deadline = uuid.uuid4().hex, time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            answer = self._ask("POST", "/v1/jobs", spec, key, pool)
            if answer is not None and answer.status == _ACCEPTED:
                self._journal.acknowledge(answer.body["id"], self._merchant.tenant_id)
                return str(answer.body["id"])
            if answer is not None and answer.status not in {_LIMITED, _UNAVAILABLE}:
                self._journal.refuse("POST /v1/jobs", answer.status)
                return None
            time.sleep(0.2)
        self._journal.refuse("POST /v1/jobs: no answer", 0)
        return None

    def _follow(self, job_ids: list[str]) -> None:
        """Poll until every job has ended or it takes too long; cancel some when a storm comes."""
        left = list(job_ids)
        deadline = time.monotonic() + _LONGEST_WAIT
        while left and time.monotonic() < deadline and not self.closing.is_set():
            if self.storm.is_set():
                self.storm.clear()
                self._cancel_some(left)
            job_id = self._dice.choice(left)
            answer = self._ask("GET", f"/v1/jobs/{job_id}")
            if answer is not None and answer.body.get("status") in TERMINAL:
                left.remove(job_id)
            time.sleep(0.02)

    def _cancel_some(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
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
