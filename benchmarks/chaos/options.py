"""What a campaign may be told: from `CHAOS_…` variables, or by a test."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.support.timings import SCALED

Kind = Literal["sqlite", "postgres"]

# A trainer that hangs is found while the campaign still runs.
TIMINGS = SCALED.model_copy(update={"stall": 6.0})


@dataclass(frozen=True)
class Options:
    """One campaign; `real` adds a worker with the real engine and a share of jobs for it.

    `in_flight` is how many jobs a merchant keeps in flight at most, `fault_every` the mean number
    of seconds between faults.
    """

    home: Path
    seconds: float = 600.0
    seed: int = 1
    db: Kind = "sqlite"
    real: bool = False
    workers: int = 3
    in_flight: int = 15
    fault_every: float = 2.0


def from_environment(home: Path) -> Options:
    """Read the variables that `make chaos` passes on."""
    db: Kind = "postgres" if os.environ.get("CHAOS_DB", "sqlite") == "postgres" else "sqlite"
    return Options(
        home=home,
        seconds=float(os.environ.get("CHAOS_SECONDS", "600")),
        seed=int(os.environ.get("CHAOS_SEED", "1")),
        db=db,
        real=os.environ.get("CHAOS_REAL", "0") not in {"", "0"},
        workers=int(os.environ.get("CHAOS_WORKERS", "3")),
        in_flight=int(os.environ.get("CHAOS_IN_FLIGHT", "15")),
        fault_every=float(os.environ.get("CHAOS_FAULT_EVERY", "2")),
    )
