"""Control sleeps while nothing happens, and wakes at once when something does."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from db.lifecycle import waking
from db.lifecycle.waking import LONGEST_SLEEP, Sleeper
from db.session import Database
from tests.support.jobs import submit
from tests.support.merchants import Merchant


@pytest.fixture
def sleeper(database: Database) -> Iterator[Sleeper]:
    """A sleeper that has looked once."""
    made = Sleeper(database, 0.005, threading.Event())
    made.sleep()
    yield made
    made.close()


def _slept(sleeper: Sleeper) -> float:
    began = time.monotonic()
    sleeper.sleep()
    return time.monotonic() - began


def test_a_quiet_database_is_left_alone(sleeper: Sleeper) -> None:
    """An idle service would use a core to ask whether it is idle."""
    assert _slept(sleeper) == pytest.approx(LONGEST_SLEEP, abs=0.1)


def test_a_submitted_job_wakes_control(
    database: Database,
    sleeper: Sleeper,
    acme: Merchant,
    dataset: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A merchant would wait a quarter of a second for nothing."""
    while _slept(sleeper) < LONGEST_SLEEP / 2:
        pass
    monkeypatch.setattr(waking, "LONGEST_SLEEP", 8.0)
    threading.Timer(0.02, submit, (database, acme.tenant_id, dataset)).start()
    assert _slept(sleeper) < 4


def test_a_lost_connection_is_made_anew(database: Database, sleeper: Sleeper) -> None:
    """Dispatch would stand still after the database's first restart."""
    if database.is_sqlite:
        sleeper._connection.close()
    else:
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        with database.write() as session:
            session.execute(text(kill))
    with pytest.raises(Exception, match=r"closed|terminat"):
        sleeper.sleep()
    assert _slept(sleeper) < 1
