"""What the sweep takes, and what it must never take."""

from sqlalchemy import insert, select, update

from db.base import now
from db.blobs import SqlBlobStore
from db.lifecycle import slots
from db.lifecycle.sweep import sweep
from db.models import Blob, BlobChunk, Idempotency, WorkerSlot
from db.session import Database
from regraft.contract.ids import new_id
from tests.support.merchants import Merchant


def _chunk(database: Database, sha256: str, age: float) -> None:
    with database.write() as session:
        session.execute(
            insert(BlobChunk).values(
                scope="shared", sha256=sha256, seq=0, data=b"x", created_at=now() - age
            )
        )


def test_the_sweep_takes_only_what_nothing_asks_for(database: Database, acme: Merchant) -> None:
    """A model's bytes would vanish, or half-sent uploads would fill the disk."""
    kept = SqlBlobStore(database).put_bytes("shared", b"a model")
    _chunk(database, "a" * 64, age=7200)
    _chunk(database, "b" * 64, age=60)
    with database.write() as session:
        session.execute(
            update(BlobChunk).where(BlobChunk.sha256 == kept.sha256).values(created_at=0)
        )
        slots.register(session, "slot_dead", device_class="cpu", lease=-1)
        slots.register(session, "slot_live", device_class="cpu", lease=60)
        for key, age in (("old", 1), ("new", -60)):
            session.add(
                Idempotency(
                    id=new_id("evt"),
                    tenant_id=acme.tenant_id,
                    route="jobs",
                    key=key,
                    request_sha256="c" * 64,
                    response_status=202,
                    response_body={},
                    expires_at=now() - age,
                )
            )
    counts = {"slots": 1, "answers": 1, "uploads": 0, "deliveries": 0}
    assert sweep(database) == {**counts, "chunks": 1, "checkpoints": 0, "blobs": 0}
    with database.read() as session:
        assert set(session.scalars(select(BlobChunk.sha256))) == {kept.sha256, "b" * 64}
        assert session.scalars(select(Blob.sha256)).all() == [kept.sha256]
        assert session.scalars(select(WorkerSlot.id)).all() == ["slot_live"]
        assert session.scalars(select(Idempotency.key)).all() == ["new"]
