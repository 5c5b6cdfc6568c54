"""Which blobs the sweep takes, and that it never takes one that somebody has just stored."""

import threading

import pytest
from sqlalchemy import select, update

from core.blobs import SHARED_SCOPE
from db.base import now
from db.blobs import SqlBlobStore
from db.lifecycle import unreferenced
from db.models import Blob, BlobChunk, Dataset, Job
from db.session import Database
from regraft.contract.ids import new_id
from tests.db.lifecycle.conftest import Take
from tests.support.jobs import ready_dataset, submit
from tests.support.merchants import Merchant

_OLD = 7200.0


def _put(database: Database, scope: str, data: bytes, age: float = _OLD) -> str:
    """Store a blob that nothing refers to, as if so many seconds ago."""
    sha256 = SqlBlobStore(database).put_bytes(scope, data).sha256
    with database.write() as session:
        mine = (Blob.scope == scope) & (Blob.sha256 == sha256)
        session.execute(update(Blob).where(mine).values(created_at=now() - age))
    return sha256


def _left(database: Database) -> set[str]:
    with database.read() as session:
        blobs = set(session.scalars(select(Blob.sha256)))
        assert set(session.scalars(select(BlobChunk.sha256))) == blobs
    return blobs


def test_bytes_of_refused_writes_are_taken(
    database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """Every refused upload would cost its merchant's disk for ever."""
    ready_dataset(database, zenith.tenant_id)
    with database.write() as session:
        session.execute(update(Blob).values(created_at=0))
    kept = _left(database) | {_put(database, acme.tenant_id, b"young", 3000)}
    for scope in (acme.tenant_id, zenith.tenant_id, SHARED_SCOPE):
        _put(database, scope, b"refused")
    assert unreferenced.sweep_blobs(database) == 3
    assert _left(database) == kept


@pytest.mark.parametrize("claimed_before", [True, False])
def test_what_a_running_attempt_stored_stays(
    database: Database, acme: Merchant, take: Take, claimed_before: bool
) -> None:
    """An upload of two hours would lose its first images before its last one is checked."""
    take(submit(database, acme.tenant_id, ready_dataset(database, acme.tenant_id)))
    with database.write() as session:
        since = 2 * _OLD if claimed_before else 60.0
        session.execute(update(Job).values(claimed_at=now() - since))
    for scope in (acme.tenant_id, SHARED_SCOPE):
        _put(database, scope, b"a clean copy")
    assert unreferenced.sweep_blobs(database) == (0 if claimed_before else 2)


def test_a_blob_that_is_stored_again_is_not_taken(database: Database, acme: Merchant) -> None:
    """The sweep has chosen it, a merchant uploads it once more: his dataset would be empty."""
    _put(database, acme.tenant_id, b"twice")
    with database.read() as session:
        (key,) = unreferenced.orphans(session)
    SqlBlobStore(database).put_bytes(acme.tenant_id, b"twice")
    assert not unreferenced.take(database, key)
    assert b"".join(SqlBlobStore(database).read(*key)) == b"twice"


def test_uploads_race_with_the_sweep(database: Database, acme: Merchant) -> None:
    """Whatever the order of two transactions, what a row refers to must be there."""
    contents = [b"photo %d" % number for number in range(40)]
    for data in contents:
        _put(database, acme.tenant_id, data)
    over = threading.Event()

    def sweep() -> None:
        while not over.is_set():
            unreferenced.sweep_blobs(database)

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        stored = [_stored(database, acme.tenant_id, data) for data in contents]
    finally:
        over.set()
        sweeper.join()
    blobs = SqlBlobStore(database)
    assert [b"".join(blobs.read(acme.tenant_id, sha256)) for sha256 in stored] == contents


def _stored(database: Database, tenant_id: str, data: bytes) -> str:
    blob = SqlBlobStore(database).put_bytes(tenant_id, data)
    with database.write() as session:
        session.add(
            Dataset(
                id=new_id("ds"),
                tenant_id=tenant_id,
                name="photos",
                source_bytes=blob.size,
                source_sha256=blob.sha256,
            )
        )
    return blob.sha256
