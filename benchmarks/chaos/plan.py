"""Which fault comes when: drawn once from the seed, so that a campaign can be repeated."""

import random
from enum import StrEnum
from typing import NamedTuple

from benchmarks.chaos.options import Options


class Fault(StrEnum):
    """Everything that is done to the service."""

    KILL_TRAINER = "kill_trainer"
    KILL_CHILD = "kill_child"
    KILL_WORKER = "kill_worker"
    KILL_CONTROL = "kill_control"
    KILL_API = "kill_api"
    FREEZE_WORKER = "freeze_worker"
    FREEZE_TRAINER = "freeze_trainer"
    FLUSH_REDIS = "flush_redis"
    KILL_REDIS = "kill_redis"
    FREEZE_REDIS = "freeze_redis"
    JUNK_MESSAGES = "junk_messages"
    DRAIN_WORKER = "drain_worker"
    CANCEL_STORM = "cancel_storm"
    POWER_CUT = "power_cut"
    CRASH_DATABASE = "crash_database"
    CUT_CONNECTIONS = "cut_connections"


class Planned(NamedTuple):
    """A fault at `at` seconds after the start; `draw` seeds its own choices."""

    at: float
    fault: Fault
    draw: int


_WEIGHTS = {
    Fault.KILL_TRAINER: 4,
    Fault.KILL_CHILD: 4,
    Fault.KILL_WORKER: 3,
    Fault.KILL_CONTROL: 3,
    Fault.KILL_API: 2,
    Fault.FREEZE_WORKER: 4,
    Fault.FREEZE_TRAINER: 1,
    Fault.FLUSH_REDIS: 5,
    Fault.KILL_REDIS: 3,
    Fault.FREEZE_REDIS: 2,
    Fault.JUNK_MESSAGES: 4,
    Fault.DRAIN_WORKER: 3,
    Fault.CANCEL_STORM: 3,
    Fault.POWER_CUT: 1,
}
_POSTGRES = {Fault.CRASH_DATABASE: 3, Fault.CUT_CONNECTIONS: 3}
_CALM_BEFORE = 2.0


def plan(options: Options) -> list[Planned]:
    """Return the faults of a campaign in their order."""
    dice = random.Random(options.seed)
    weights = _WEIGHTS | (_POSTGRES if options.db == "postgres" else {})
    at = _CALM_BEFORE
    planned = []
    while at < options.seconds:
        (fault,) = dice.choices(list(weights), list(weights.values()))
        planned.append(Planned(at, fault, dice.getrandbits(32)))
        at += dice.uniform(0.2, 2 * options.fault_every - 0.2)
    return planned
