"""Whose job starts next: the arithmetic of fair shares, without a database.

Start-time fair queueing: a merchant's `clock` is the device-seconds it used, divided by its
weight, and lifted at each start to the clock that the class has reached. So whoever waits
together shares by weight, nobody saves up credit while idle, and nobody pays for it later.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

TYPICAL_SECONDS = 60.0


class Waiting(NamedTuple):
    """A queued job that is due since `due`."""

    job_id: str
    tenant_id: str
    priority: int
    due: float = 0.0


class Standing(NamedTuple):
    """What a merchant has used of a device class, and what it has under way there.

    `load` is its running jobs and outstanding hints, `pending` the seconds to expect of them.
    """

    clock: float = 0.0
    weight: int = 1
    load: int = 0
    pending: float = 0.0
    max_running: int | None = None
    active_until: float = 0.0

    def after(self, jobs: int, typical: float) -> float:
        """Return the clock that this merchant will have once `jobs` more have run."""
        return self.clock + (self.pending + jobs * typical) / self.weight

    def may_start(self, started: int) -> bool:
        """Tell whether its quota allows one more than `load` and `started`."""
        return self.max_running is None or self.load + started < self.max_running


class Field(NamedTuple):
    """A device class: everybody's standing, the clock it has reached, a job's usual seconds."""

    standings: Mapping[str, Standing]
    reached: float = 0.0
    typical: float = TYPICAL_SECONDS

    def of(self, tenant_id: str) -> Standing:
        """Return one merchant's standing; a newcomer has used nothing."""
        return self.standings.get(tenant_id, Standing())

    def tag(self, tenant_id: str, started: int, due: float) -> tuple[float, float]:
        """Return what orders merchants: the lowest tag starts next.

        The first job of a merchant that had nothing under way when it came owes nothing.
        """
        mine = self.of(tenant_id)
        clock = mine.after(started, self.typical)
        idle = mine.load == 0 and started == 0 and due >= mine.active_until
        return (min(clock, self.reached) if idle else clock), clock


def fair_order(waiting: Sequence[Waiting], field: Field, count: int) -> list[Waiting]:
    """Return the next `count` jobs: by fair share, then by priority, then by age.

    Each job that is chosen counts as a typical one for the choice of the next.
    """
    queues: defaultdict[str, list[Waiting]] = defaultdict(list)
    for job in sorted(waiting, key=lambda job: (-job.priority, job.job_id), reverse=True):
        queues[job.tenant_id].append(job)
    started = dict.fromkeys(queues, 0)
    order: list[Waiting] = []
    while len(order) < count:
        heads = [
            (field.tag(tenant, started[tenant], queue[-1].due), -queue[-1].priority, queue[-1])
            for tenant, queue in queues.items()
            if queue and field.of(tenant).may_start(started[tenant])
        ]
        if not heads:
            break
        chosen = min(heads)[2]
        queues[chosen.tenant_id].pop()
        started[chosen.tenant_id] += 1
        order.append(chosen)
    return order


def place(field: Field, counts: Mapping[str, int], tenant_id: str, before: int, due: float) -> int:
    """Return how many jobs start before one that has `before` of its own merchant's ahead.

    `counts` are the queued jobs of everybody; each is taken for a typical one.
    """
    goal = field.tag(tenant_id, before, due)[0]
    others = (name for name, count in counts.items() if count and name != tenant_id)
    return before + sum(min(counts[name], _starts_before(field, name, goal)) for name in others)


def seconds_to_wait(ahead: int, running: int, slots: int, typical: float) -> float | None:
    """Return in how many seconds a job with `ahead` before it starts; None without any slot."""
    if slots == 0:
        return None
    return typical * max(0, ahead + running - slots + 1) / slots


def _starts_before(field: Field, tenant_id: str, goal: float) -> int:
    mine = field.of(tenant_id)
    first = math.ceil((goal - mine.after(0, field.typical)) * mine.weight / field.typical)
    return max(0, first)
