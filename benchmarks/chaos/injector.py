"""How each fault is done to the real processes, and how it heals."""

import contextlib
import heapq
import itertools
import json
import random
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.chaos.cluster import Cluster, strike
from benchmarks.chaos.journal import Death, Journal
from benchmarks.chaos.plan import Fault
from core.queues import RUN_TASK, queue_name
from db.models import Job, WorkerSlot
from tests.support.fleet import children
from worker.app import app

Dice = random.Random
Heal = Callable[[], object]
_AIMED_SHARE = 0.8
_FORGED = "job_00000000000000000000000000"
_JUNK = ("[]", "[null]", '["job_x"]', "[7]", '["a", "b"]', '[{"a": 1}]', '[["x"]]')
_GARBAGE = (b"\x80garbage", b'{"body": "x"}', b"[1]", b"null")


class Injector:
    """Injects faults one at a time; what heals later waits in an agenda."""

    def __init__(self, cluster: Cluster, journal: Journal, storm: Callable[[], None]) -> None:
        self._cluster = cluster
        self._journal = journal
        self._storm = storm
        self._frozen: set[str] = set()
        self._agenda: list[tuple[float, int, Heal]] = []
        self._numbers = itertools.count()

    def inject(self, fault: Fault, draw: int) -> None:
        """Do one fault; where its target is not there at the moment, do nothing."""
        action: Callable[[Dice], None] = getattr(self, f"_{fault.value}")
        action(Dice(draw))

    def heal(self, *, everything: bool = False) -> None:
        """Do what is due of the agenda, or all of it."""
        while self._agenda and (everything or self._agenda[0][0] <= time.monotonic()):
            heapq.heappop(self._agenda)[2]()

    @property
    def is_healing(self) -> bool:
        """Whether something has yet to heal."""
        return bool(self._agenda)

    def _later(self, seconds: float, action: Heal) -> None:
        heapq.heappush(self._agenda, (time.monotonic() + seconds, next(self._numbers), action))

    # Workers.

    def _kill_trainer(self, dice: Dice) -> None:
        _, child, trainer = self._target(dice)
        if trainer is not None:
            self._dies(Fault.KILL_TRAINER, [child], [(trainer, signal.SIGKILL)])

    def _kill_child(self, dice: Dice) -> None:
        _, child, _ = self._target(dice)
        if child is not None:
            self._dies(Fault.KILL_CHILD, [child], [(child, signal.SIGKILL)])

    def _kill_worker(self, dice: Dice) -> None:
        name, child, _ = self._target(dice)
        if name is None:
            return
        self._hold(name, dice.choice((0.0, 0.0, dice.uniform(0, 5))))
        parent = self._cluster.process(name).pid
        self._dies(Fault.KILL_WORKER, [child], [(parent, signal.SIGKILL)])

    def _freeze_worker(self, dice: Dice) -> None:
        name, child, _ = self._target(dice)
        if name is None:
            return
        lasting = self._cluster.settings.timings.lease * dice.uniform(1.5, 5)
        pids = self._cluster.tree(name)
        self._frozen.add(name)
        self._dies(Fault.FREEZE_WORKER, [child], [(pid, signal.SIGSTOP) for pid in pids], lasting)
        self._later(lasting, partial(self._thaw, name, pids))

    def _freeze_trainer(self, dice: Dice) -> None:
        """Stop a light trainer until it counts as hung and is killed for it."""
        name, _, trainer = self._target(dice)
        if trainer is None or name is None or name == "real":
            return
        lasting = 2 * self._cluster.settings.timings.stall
        self._journal.inject(Fault.FREEZE_TRAINER, lasting)
        strike(trainer, signal.SIGSTOP)
        self._later(lasting, partial(strike, trainer, signal.SIGCONT))

    def _drain_worker(self, dice: Dice) -> None:
        name, _, _ = self._target(dice)
        if name is not None:
            self._journal.inject(Fault.DRAIN_WORKER)
            self._cluster.process(name).send_signal(dice.choice((signal.SIGTERM, signal.SIGQUIT)))

    def _thaw(self, name: str, pids: Sequence[int]) -> None:
        for pid in reversed(pids):
            strike(pid, signal.SIGCONT)
        self._frozen.discard(name)

    def _target(self, dice: Dice) -> tuple[str | None, int | None, int | None]:
        """Choose a worker that is up; return its name and the ids of its child and trainer."""
        ready = [
            name
            for name in self._cluster.workers
            if self._cluster.is_up(name) and name not in self._frozen
        ]
        if not ready:
            return None, None, None
        name = dice.choice(self._busy(ready) if dice.random() < _AIMED_SHARE else ready)
        child = self._child(name)
        trainers = [] if child is None else children(child)
        return name, child, trainers[0] if trainers else None

    def _child(self, name: str) -> int | None:
        return next(iter(children(self._cluster.process(name).pid)), None)

    def _busy(self, names: list[str]) -> list[str]:
        """Return those of some workers that run a job, or all if none does."""
        running: dict[int, str | None] = {}
        with contextlib.suppress(SQLAlchemyError):
            running = self._cluster.slots()
        return [name for name in names if running.get(self._child(name) or 0)] or names

    def _dies(
        self,
        fault: Fault,
        supervisors: Sequence[int | None],
        blows: Sequence[tuple[int, signal.Signals]],
        lasting: float = 0.0,
    ) -> None:
        """Note which jobs run below these supervisors, and strike."""
        self._journal.deaths += self._running([pid for pid in supervisors if pid is not None])
        self._journal.inject(fault, lasting)
        for pid, number in blows:
            strike(pid, number)

    def _running(self, supervisors: Sequence[int]) -> list[Death]:
        query = (
            select(Job.id, Job.fence, Job.device_class)
            .join(WorkerSlot, WorkerSlot.job_id == Job.id)
            .where(Job.status == "running", WorkerSlot.pid.in_(supervisors))
        )
        with contextlib.suppress(SQLAlchemyError), self._cluster.database.read() as session:
            return [Death(*row, time.time()) for row in session.execute(query)]
        return []

    def _hold(self, name: str, seconds: float) -> None:
        """Keep a process from being started again for a while."""
        self._cluster.held.add(name)
        self._later(seconds, partial(self._cluster.held.discard, name))

    # Control, the API, and everything at once.

    def _kill_control(self, dice: Dice) -> None:
        name = dice.choice(("control-1", "control-2"))
        if self._cluster.is_up(name):
            self._hold(name, dice.uniform(0, 2))
            self._journal.inject(Fault.KILL_CONTROL)
            self._cluster.kill(name)

    def _kill_api(self, dice: Dice) -> None:
        name = dice.choice([name for name in self._cluster.names if name.startswith("api")])
        if not self._cluster.is_up(name):
            return
        self._journal.inject(Fault.KILL_API)
        below = children(self._cluster.process(name).pid)
        if below and dice.choice("wm") == "w":
            strike(below[0], signal.SIGKILL)
        else:
            self._cluster.kill(name)

    def _power_cut(self, _dice: Dice) -> None:
        """Kill every process at once; the database's files stay as the kernel has them."""
        names = [name for name in self._cluster.names if self._cluster.is_up(name)]
        pids = [self._cluster.process(name).pid for name in names]
        supervisors = [child for pid in pids for child in children(pid)]
        self._dies(Fault.POWER_CUT, supervisors, [(pid, signal.SIGKILL) for pid in pids])
        for name in names:
            self._cluster.kill(name)
        if self._is_redis_up():
            self._cut_redis(0.0)

    # Redis.

    def _is_redis_up(self) -> bool:
        return "redis" not in self._cluster.held

    def _flush_redis(self, _dice: Dice) -> None:
        if self._is_redis_up():
            self._journal.inject(Fault.FLUSH_REDIS)
            self._cluster.redis.flush()

    def _kill_redis(self, dice: Dice) -> None:
        if self._is_redis_up():
            lasting = dice.uniform(0.2, 6)
            self._journal.inject(Fault.KILL_REDIS, lasting)
            self._cut_redis(lasting)

    def _cut_redis(self, lasting: float) -> None:
        redis = self._cluster.redis
        if redis.process is not None:
            redis.process.kill()
            redis.process.wait()
        self._hold("redis", lasting)
        self._later(lasting, redis.start)

    def _freeze_redis(self, dice: Dice) -> None:
        process = self._cluster.redis.process
        if self._is_redis_up() and process is not None:
            lasting = dice.uniform(1, 8)
            self._journal.inject(Fault.FREEZE_REDIS, lasting)
            process.send_signal(signal.SIGSTOP)
            self._hold("redis", lasting)
            self._later(lasting, partial(strike, process.pid, signal.SIGCONT))

    def _junk_messages(self, dice: Dice) -> None:
        """Deliver real ids many times over, ids that are nobody's, and what is no message."""
        if not self._is_redis_up():
            return
        self._journal.inject(Fault.JUNK_MESSAGES)
        known = list(self._journal.acknowledged)
        chosen = [dice.choice(known) for _ in range(10)] if known else []
        queue = queue_name(dice.choice(("cpu", "ingest")))
        url = self._cluster.redis.url
        with contextlib.suppress(OSError, RedisError), app.connection_for_write(url) as connection:
            for arguments in [*([job_id] for job_id in chosen), [_FORGED], *map(json.loads, _JUNK)]:
                app.send_task(RUN_TASK, arguments, connection=connection, queue=queue, retry=False)
        with contextlib.suppress(RedisError), Redis.from_url(url) as raw:
            for item in _GARBAGE:
                raw.lpush(f"regraft:{queue}", item)

    # Merchants and the database.

    def _cancel_storm(self, _dice: Dice) -> None:
        self._journal.inject(Fault.CANCEL_STORM)
        self._storm()

    def _crash_database(self, dice: Dice) -> None:
        server = self._cluster.postgres
        if server is not None and "postgres" not in self._cluster.held:
            lasting = dice.uniform(0, 4)
            self._journal.inject(Fault.CRASH_DATABASE, lasting)
            server.crash()
            self._hold("postgres", lasting)
            self._later(lasting, server.start)

    def _cut_connections(self, _dice: Dice) -> None:
        server = self._cluster.postgres
        if server is not None and "postgres" not in self._cluster.held:
            self._journal.inject(Fault.CUT_CONNECTIONS)
            with contextlib.suppress(SQLAlchemyError):
                server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = 'chaos' AND pid <> pg_backend_pid()"
                )
