"""One running service with a merchant and a dataset: what every case measures."""

import io
import json
import os
import signal
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from sqlalchemy import update

from benchmarks.control import load
from benchmarks.control.load import Figures, Request
from db.base import now
from db.models import Job
from db.session import Database
from deploy.stack import Account, Stack
from regraft.client import Client
from regraft.contract.status import JobStatus

SERVICE = {
    "REGRAFT_TRAINER_COMMAND": json.dumps([sys.executable, "-m", "tests.support.light_trainer"]),
    "REGRAFT_LOG_LEVEL": "WARNING",
    "REGRAFT_API_RATE_REQUESTS": str(10**9),  # one key sends all the load
    "REGRAFT_API_UPLOADS": "100",  # half of them for one merchant
}
CLIENTS = 4


class Bench:
    """One running service with a merchant and a dataset, and what is measured of it."""

    def __init__(self, stack: Stack, database: Database, seconds: float) -> None:
        self.stack = stack
        self.database = database
        self.seconds = seconds
        self.account: Account = stack.create_merchant("Bench")
        with Client(stack.url, self.account.key) as client:
            self.dataset = client.datasets.wait(client.datasets.push(tiny_set(stack.home)).id).id

    def load(self, request: Request, clients: int = CLIENTS) -> Figures:
        """Repeat one request on `clients` connections."""
        url, key = self.stack.url, self.account.key
        return load.run(url, key, lambda: request, clients=clients, seconds=self.seconds)

    @property
    def submit(self) -> Request:
        """A job's submission."""
        return self.submit_of(self.dataset)

    @staticmethod
    def submit_of(dataset: str) -> Request:
        """The submission of a job on a dataset."""
        return Request("POST", "/v1/jobs", {"dataset": dataset})

    def poll(self) -> Request:
        """Reading the newest job."""
        with Client(self.stack.url, self.account.key) as client:
            return Request("GET", f"/v1/jobs/{next(client.jobs.list(page_size=1)).id}")

    @contextmanager
    def without_workers(self) -> Iterator[None]:
        """Hold the workers, so that what is submitted stays queued and uses no processor."""
        held = [self.stack.processes[name] for name in ("trainer", "ingest")]
        for process in held:
            os.killpg(process.pid, signal.SIGSTOP)
        yield
        for process in held:
            os.killpg(process.pid, signal.SIGCONT)

    def drop_queued(self) -> None:
        """End what is queued, so that one case never waits for another's jobs."""
        with self.database.write() as session:
            queued = update(Job).where(Job.status == JobStatus.QUEUED)
            session.execute(queued.values(status=JobStatus.CANCELLED, finished_at=now()))


def tiny_set(home: Path) -> Path:
    """Return a zip of two classes with one small picture each."""
    path = home / "tiny.zip"
    with zipfile.ZipFile(path, "w") as out:
        for name, colour in (("red/a.png", (200, 0, 0)), ("blue/b.png", (0, 0, 200))):
            picture = io.BytesIO()
            Image.new("RGB", (32, 32), colour).save(picture, "PNG")
            out.writestr(name, picture.getvalue())
    return path
