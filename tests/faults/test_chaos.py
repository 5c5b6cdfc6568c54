"""A minute of random faults, and an oracle that must find nothing; `make chaos` runs for longer."""

import random
from pathlib import Path

import pytest

from benchmarks.chaos.campaign import run
from benchmarks.chaos.options import Options
from benchmarks.chaos.plan import plan

pytestmark = pytest.mark.slow


@pytest.mark.fault("F33")
@pytest.mark.timeout(400)
def test_a_minute_of_chaos_breaks_no_promise(tmp_path: Path, dice: random.Random) -> None:
    """Each fault alone is survived; merchants meet them together."""
    line = run(Options(home=tmp_path / "home", seconds=60, seed=dice.getrandbits(16)))
    assert line["breaches"] == []
    assert line["lost"] == line["doubled"] == 0
    assert sum(line["faults"].values()) > 10
    assert line["jobs"]["cpu/succeeded"] > 50


def test_a_seed_repeats_its_plan() -> None:
    """A breach that was found once could not be looked for again."""
    first, again = (plan(Options(home=Path(), seed=7)) for _ in range(2))
    assert first == again
    assert first != plan(Options(home=Path(), seed=8))
