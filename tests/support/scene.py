"""The whole service under one fault at a time: jobs of three merchants, and the oracle after."""

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from benchmarks.chaos import oracle
from benchmarks.chaos.cluster import LIGHT, Cluster, cluster
from benchmarks.chaos.injector import Injector
from benchmarks.chaos.journal import Journal
from benchmarks.chaos.options import Options
from db.models import Job
from regraft.contract.status import TERMINAL
from tests.support.jobs import Found, job, ready_dataset, submit, wait_for
from tests.support.light_trainer import Behaviour
from tests.support.merchants import Merchant, create

_NAMES = ("Acme Home Goods", "Zenith Electronics", "Nadir Garden")
_WAIT_SECONDS = 45.0


class Reply(NamedTuple):
    """What the API said to a submit, if anything: HTTP status, the job's id, `Retry-After`."""

    status: int
    job_id: str | None
    retry_after: str | None


class Scene:
    """A running service with three merchants; `check` asks the oracle about all of it."""

    def __init__(self, service: Cluster) -> None:
        self.service = service
        self.database = service.database
        self.journal = Journal()
        self.injector = Injector(service, self.journal, lambda: None)
        self.merchants = [create(service.database, name) for name in _NAMES]
        self._datasets = [ready_dataset(self.database, m.tenant_id) for m in self.merchants]
        self._count = 0

    def queue(
        self, count: int = 1, milliseconds: int = 1, behaviour: Behaviour = Behaviour.TRAIN
    ) -> list[str]:
        """Queue jobs for the merchants in turn."""
        found = []
        for number in range(count):
            turn = number % len(self.merchants)
            tenant_id, dataset = self.merchants[turn].tenant_id, self._datasets[turn]
            job_id = submit(
                self.database, tenant_id, dataset, seed=behaviour, milliseconds=milliseconds
            )
            self.journal.acknowledge(job_id, tenant_id)
            found.append(job_id)
        return found

    def post(self, merchant: Merchant | None = None, key: str | None = None) -> Reply:
        """Submit one job over HTTP, once; status 0 stands for no answer."""
        shop = merchant or self.merchants[0]
        dataset = self._datasets[self.merchants.index(shop)]
        body = json.dumps({"dataset": dataset}).encode()
        headers = {**shop.headers, "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        url = f"http://127.0.0.1:{self.service.ports[LIGHT]}/v1/jobs"
        request = urllib.request.Request(url, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                job_id = str(json.load(answer)["id"])
                self.journal.acknowledge(job_id, shop.tenant_id)
                return Reply(answer.status, job_id, None)
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, None, error.headers["Retry-After"])
        except (OSError, http.client.HTTPException):
            return Reply(0, None, None)

    def row(self, job_id: str) -> Job:
        """Return a job as it is now."""
        return job(self.database, job_id)

    def is_training(self, job_id: str) -> bool:
        """Tell whether a job has reported progress."""
        return self.row(job_id).progress is not None

    def ended(self, job_ids: list[str]) -> bool:
        """Tell whether all of these jobs have ended."""
        query = select(Job.status).where(Job.id.in_(job_ids))
        with self.database.read() as session:
            return set(session.scalars(query)) <= TERMINAL

    def wait(self, probe: Callable[[], Found | None], seconds: float = _WAIT_SECONDS) -> Found:
        """Wait for something while the processes are kept up and faults heal in their time."""

        def tend() -> Found | None:
            self.tend()
            return probe()

        return wait_for(tend, seconds)

    def tend(self) -> None:
        """Start again what has ended, and heal what is due."""
        self.injector.heal()
        self.service.keep_up()

    def pause(self, dice: random.Random, longest: float) -> None:
        """Let a random time pass, so that a fault hits another moment each time."""
        time.sleep(dice.uniform(0, longest))

    def recover(self, job_ids: list[str]) -> None:
        """Heal everything, wait until these jobs have ended, and ask the oracle."""
        self.injector.heal(everything=True)
        self.wait(lambda: self.ended(job_ids))
        self.check()

    def check(self) -> None:
        """Ask the oracle about every job that there ever was in this scene."""
        self.wait(lambda: not list(oracle.nothing_is_left(self.service, self.journal)), 20)
        with self.database.read() as session:
            breaches = [
                *oracle.every_job_ended(session, self.journal),
                *oracle.nothing_is_doubled(session),
                *oracle.moves_are_legal(session, oracle.histories(session)),
            ]
        breaches += oracle.results_are_whole(self.database)
        assert breaches == []


@contextmanager
def scene(options: Options, dump: Path | None = None) -> Iterator[Scene]:
    """Yield a running scene, perhaps from a dump of a database; nothing of it is left."""
    with cluster(options, dump) as service:
        yield Scene(service)
