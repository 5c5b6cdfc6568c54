"""Transactions: they commit whole or not at all, and writers wait for their turn."""

import threading

import pytest
from sqlalchemy import select, update

from db.base import now
from db.models import Tenant
from db.session import Database
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


def test_now_moves_and_is_the_epoch(database: Database) -> None:
    """A clock that stands still or is NULL would never let a dead worker's lease expire."""
    with database.read() as session:
        first = session.scalar(select(now()))
    with database.read() as session:
        second = session.scalar(select(now()))
    assert first is not None
    assert second is not None
    assert 1_700_000_000 < first <= second < 5_000_000_000
