"""The service under fire: every process of it, started again when it has ended.

Processes are started by the main thread alone: each is bound to the life of its starter's thread.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import select

from benchmarks.chaos.options import TIMINGS, Options
from core.queues import INGEST_CLASS
from core.settings import Settings
from db.migrate import migrate
from db.models import WorkerSlot
from db.session import Database
from deploy.redis import EmbeddedRedis, free_port
from tests.support import light_trainer
from tests.support.fleet import Fleet, children, descendants, is_alive
from tests.support.jobs import wait_for
from tests.support.postgres import Postgres, settings_for
from tests.support.timings import SCALED_WEBHOOKS

LIGHT, REAL = "cpu", "real"
_READY_SECONDS = 90.0


class Cluster:
    """All of the service's processes by name; `held` are those that are down on purpose."""

    def __init__(self, options: Options, redis: EmbeddedRedis, postgres: Postgres | None) -> None:
        self.redis = redis
        self.postgres = postgres
        url = "" if postgres is None else postgres.create_database("chaos")
        light = Settings(
            home=options.home,
            timings=TIMINGS,
            webhooks=SCALED_WEBHOOKS,
            trainer_command=light_trainer.COMMAND,
        )
        if url:
            light = settings_for(url, light)
        real_timings = TIMINGS.model_copy(update={"stall": 120.0})
        real = light.model_copy(update={"trainer_command": None, "timings": real_timings})
        self.settings = light
        self.database = Database(light.url)
        self.ports = {LIGHT: free_port(), REAL: free_port()}
        self.held: set[str] = set()
        self._fleet = Fleet(light, redis.url)
        self._real = Fleet(real, redis.url)
        self._starters = self._commands(options)

    def _commands(self, options: Options) -> dict[str, Callable[[], object]]:
        """Return how each process is started, in an order that a start can take."""
        fleet, real = self._fleet, self._real
        made: dict[str, Callable[[], object]] = {
            "api": partial(fleet.api, self.ports[LIGHT]),
            "control-1": partial(fleet.control, "control-1"),
            "control-2": partial(fleet.control, "control-2"),
            "ingest": partial(fleet.worker, "ingest", INGEST_CLASS),
        }
        for number in range(1, options.workers + 1):
            made[f"worker-{number}"] = partial(fleet.worker, f"worker-{number}")
        if options.real:
            made["api-real"] = partial(real.api, self.ports[REAL], "api-real", REAL)
            made["real"] = partial(real.worker, "real", REAL)
        return made

    @property
    def names(self) -> list[str]:
        """Every process's name."""
        return list(self._starters)

    @property
    def workers(self) -> list[str]:
        """The workers' names."""
        return [name for name in self.names if name.startswith(("worker", "real", "ingest"))]

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """Return a process, which may have ended."""
        return (self._fleet.processes | self._real.processes)[name]

    def is_up(self, name: str) -> bool:
        """Tell whether a process runs and is meant to."""
        return name not in self.held and self.process(name).poll() is None

    def keep_up(self) -> None:
        """Start again what has ended and is not held down."""
        for name in self.names:
            if name not in self.held and self.process(name).poll() is not None:
                self._starters[name]()

    def start(self) -> None:
        """Start everything and wait until each worker has its slot."""
        for begin in self._starters.values():
            begin()
        wait_for(lambda: len(self.slots()) >= len(self.workers), _READY_SECONDS)

    def slots(self) -> dict[int, str | None]:
        """Return the job that each slot runs, by the process id of its Celery child."""
        with self.database.read() as session:
            rows = session.execute(select(WorkerSlot.pid, WorkerSlot.job_id)).all()
        return {row.pid: row.job_id for row in rows}

    def tree(self, name: str) -> list[int]:
        """Return a worker's processes: the Celery parent, its child, and the trainer."""
        top = self.process(name).pid
        below = children(top)
        return [top, *below, *(pid for child in below for pid in children(child))]

    def kill(self, name: str) -> None:
        """Kill a process and, of the API, its workers; it is started again unless held."""
        process = self.process(name)
        below = children(process.pid) if name.startswith("api") else []
        for pid in (process.pid, *below):
            strike(pid, signal.SIGKILL)
        process.wait()

    def logs(self) -> Iterator[str]:
        """Yield what each process has logged."""
        for name in self.names:
            yield (self.settings.home / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        """Kill everything that was started, and whatever that has started."""
        self.database.dispose()
        for fleet in (self._fleet, self._real):
            fleet.stop()
        for pid in descendants(self.settings.home):
            strike(pid, signal.SIGKILL)


def strike(pid: int, number: signal.Signals) -> None:
    """Signal a process that may have ended."""
    if is_alive(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def cluster(options: Options, dump: Path | None = None) -> Iterator[Cluster]:
    """Yield the running service; whatever happens, nothing of it is left.

    A PostgreSQL database begins as what is in `dump`, where one is given.
    """
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres()) if options.db == "postgres" else None
        redis = stack.enter_context(EmbeddedRedis(options.home / "redis"))
        made = Cluster(options, redis, postgres)
        stack.callback(made.stop)
        if postgres is not None and dump is not None:
            postgres.restore(dump, "chaos")
        migrate(made.settings)
        made.start()
        yield made
