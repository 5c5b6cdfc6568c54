"""What a campaign did and saw, for the oracle to explain everything by; times are epoch seconds."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.chaos.plan import Fault

# What can cost a running job one of its lives.
DISTURBING = frozenset(
    {
        *(Fault.KILL_TRAINER, Fault.KILL_CHILD, Fault.KILL_WORKER, Fault.FREEZE_WORKER),
        *(Fault.FREEZE_TRAINER, Fault.POWER_CUT, Fault.CRASH_DATABASE, Fault.CUT_CONNECTIONS),
    }
)
# What can cost a message that was on its way.
HINT_LOSING = frozenset(
    {
        *(Fault.FLUSH_REDIS, Fault.KILL_REDIS, Fault.FREEZE_REDIS, Fault.POWER_CUT),
        *(Fault.KILL_CHILD, Fault.KILL_WORKER, Fault.FREEZE_WORKER, Fault.DRAIN_WORKER),
    }
)


class Injected(NamedTuple):
    """A fault and the time over which it lasted."""

    fault: Fault
    began: float
    ended: float


class Death(NamedTuple):
    """A running job whose process was killed or frozen at `at`."""

    job_id: str
    fence: int
    device_class: str
    at: float


class Refusal(NamedTuple):
    """An answer that a merchant should not have got."""

    at: float
    what: str
    status: int


@dataclass
class Journal:
    """Written by the campaign's threads, read when they have ended."""

    injected: list[Injected] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    reads: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def inject(self, fault: Fault, lasting: float = 0.0) -> None:
        """Note a fault that begins now."""
        now = time.time()
        self.injected.append(Injected(fault, now, now + lasting))

    def acknowledge(self, found_id: str, tenant_id: str) -> None:
        """Note an id that the API has answered with."""
        with self.lock:
            self.acknowledged[found_id] = tenant_id

    def refuse(self, what: str, status: int) -> None:
        """Note an answer that must be explained."""
        with self.lock:
            self.refusals.append(Refusal(time.time(), what, status))

    def counts(self) -> dict[str, int]:
        """Return how many faults of each kind there were."""
        return dict(sorted(Counter(entry.fault.value for entry in self.injected).items()))

    def between(self, kinds: frozenset[Fault], began: float, ended: float) -> int:
        """Count the faults of some kinds that lasted into a span of time."""
        return sum(
            entry.fault in kinds and entry.began <= ended and entry.ended >= began
            for entry in self.injected
        )
