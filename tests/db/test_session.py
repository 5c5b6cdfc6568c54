"""Transactions: they commit whole or not at all, and writers wait for their turn."""

import threading
import time

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError, OperationalError

import db.session as session_module
from db.base import now
from db.failures import code_of
from db.models import Tenant
from db.session import Database
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id


def _add(database: Database, name: str) -> str:
    tenant_id = new_id("mer")
    with database.write() as session:
        session.add(Tenant(id=tenant_id, name=name))
    return tenant_id


def test_a_failed_block_leaves_nothing(database: Database) -> None:
    """Half a submission would be a job without its first event."""

    def fail() -> None:
        with database.write() as session:
            session.add(Tenant(id=new_id("mer"), name="half"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as session:
        assert session.scalars(select(Tenant)).all() == []


def test_eight_writers_lose_no_update(database: Database) -> None:
    """`database is locked` would be a 500 to a merchant on the embedded database."""
    tenant_id = _add(database, "counted")

    def work() -> None:
        for _ in range(10):
            with database.write() as session:
                session.execute(
                    update(Tenant).where(Tenant.id == tenant_id).values(weight=Tenant.weight + 1)
                )

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.scalar(select(Tenant.weight).where(Tenant.id == tenant_id)) == 81


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_who_stops_with_a_lock_is_hung_up_on(database: Database) -> None:
    """A frozen worker would keep a merchant from cancelling its job for as long as it is frozen."""
    tenant_id = _add(database, "waited for")

    def weigh(weight: int, seconds: float) -> None:
        with database.write() as session:
            session.execute(update(Tenant).where(Tenant.id == tenant_id).values(weight=weight))
            locked.set()
            time.sleep(seconds)

    def stop() -> None:
        with pytest.raises(DBAPIError) as caught:
            weigh(2, 7.0)
        errors.append(caught.value)

    locked, errors = threading.Event(), list[DBAPIError]()
    stopped = threading.Thread(target=stop)
    stopped.start()
    locked.wait(10)
    weigh(3, 0.0)
    stopped.join()
    assert [code_of(error) for error in errors] == [ErrorCode.UNAVAILABLE]
    with database.read() as session:
        assert session.scalar(select(Tenant.weight).where(Tenant.id == tenant_id)) == 3


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_lock_from_outside_costs_each_writer_one_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight requests behind a stuck process would wait for each other's time-outs in turn."""
    monkeypatch.setattr(session_module, "_BUSY_SECONDS", 1)
    monkeypatch.setattr(session_module, "_TURN_SECONDS", 0.2)
    tenant_id, began, failures = _add(database, "waiting"), time.monotonic(), []
    stuck, waiting = Database(str(database.engine.url)), Database(str(database.engine.url))

    def work() -> None:
        try:
            with waiting.write() as session:
                session.get_one(Tenant, tenant_id)
        except OperationalError as error:
            failures.append(str(error))

    with stuck.write() as session:
        session.get_one(Tenant, tenant_id)  # a transaction begins with its first statement
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(failures) == 8
    assert all("locked" in failure for failure in failures)
    assert time.monotonic() - began < 8
    for one in (stuck, waiting):
        one.dispose()


def test_now_moves_and_is_the_epoch(database: Database) -> None:
    """A clock that stands still or is NULL would never let a dead worker's lease expire."""
    with database.read() as session:
        first = session.scalar(select(now()))
    with database.read() as session:
        second = session.scalar(select(now()))
    assert first is not None
    assert second is not None
    assert 1_700_000_000 < first <= second < 5_000_000_000
