"""One batch in one worker, with real processes and a real database; no queue."""

import hashlib
import os
import signal
import threading

import pytest
from sqlalchemy import select, update

from db.blobs import SqlBlobStore
from db.lifecycle.claim import claim
from db.lifecycle.reap import reap
from db.models import BatchFile, BatchPart, Job, Tenant
from db.repositories import batches
from db.session import Database
from regraft.contract.batch import BatchSubmission
from regraft.contract.status import RequestedAction
from tests.support.jobs import history, job, ready_dataset, wait_for
from tests.support.merchants import Merchant
from tests.support.served import Shelf
from worker.station import Station
from worker.supervisor import batch
from worker.supervisor.supervise import supervise

NUM_IMAGES = 7


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ROWS_PER_PART", 3)


@pytest.fixture
def model(database: Database, acme: Merchant) -> str:
    """A model of acme's with the files that a batch reads."""
    shelf = Shelf(database)
    model_id = shelf.add(acme.tenant_id)
    shelf.add_file(model_id, acme.tenant_id, "model.safetensors", b"not read by this trainer")
    return model_id


@pytest.fixture
def batch_id(database: Database, acme: Merchant, model: str) -> str:
    """A queued batch that waits before each part."""
    return _submit(database, acme, model, seconds=1)


def _submit(database: Database, merchant: Merchant, model: str, seconds: int) -> str:
    dataset = ready_dataset(database, merchant.tenant_id, NUM_IMAGES)
    wanted = BatchSubmission(dataset=dataset, model=model, top=seconds)
    with database.write() as session:
        return batches.submit(session, merchant.tenant_id, wanted, "cpu").job.id


def _parts(database: Database, batch_id: str) -> list[BatchPart]:
    query = select(BatchPart).where(BatchPart.job_id == batch_id).order_by(BatchPart.seq)
    with database.read() as session:
        return list(session.scalars(query))


def _answers(database: Database, merchant: Merchant, batch_id: str) -> list[str]:
    """Return the lines of a batch's file, which is what its row says."""
    with database.read() as session:
        file = batches.stored_file(session, merchant.tenant_id, batch_id)
    blobs = SqlBlobStore(database)
    data = b"".join(
        piece for part in file.segments for piece in blobs.read(part.scope, part.sha256)
    )
    assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
    return data.decode().splitlines()


def test_a_batch_ends_with_a_file(
    database: Database, station: Station, acme: Merchant, batch_id: str
) -> None:
    """The whole point: one file, a row for each image."""
    supervise(station, batch_id)
    assert history(database, batch_id)[-1] == ("running", "succeeded")
    lines = _answers(database, acme, batch_id)
    assert len(lines) == len(set(lines)) == NUM_IMAGES
    with database.read() as session:
        shown = batches.show(session, acme.tenant_id, batch_id)
    assert shown.file is not None
    assert (shown.file.num_rows, shown.file.num_errors) == (NUM_IMAGES, 0)
    assert shown.result is not None
    assert shown.result.usage["num_images"] == NUM_IMAGES


def test_a_lost_trainer_costs_no_part_that_is_kept(
    database: Database, station: Station, acme: Merchant, model: str
) -> None:
    """A batch of a day would begin anew each time a machine goes."""
    batch_id = _submit(database, acme, model, seconds=3)
    thread = threading.Thread(target=supervise, args=(station, batch_id))
    pid = station.trainer.take().pid
    thread.start()
    kept = wait_for(lambda: _parts(database, batch_id))
    os.kill(pid, signal.SIGKILL)
    thread.join(30)
    assert job(database, batch_id).lost_count == 1
    with database.write() as session:
        ahead = update(Job).where(Job.id == batch_id).values(run_after=0.0)
        session.execute(ahead)
    supervise(station, batch_id)
    assert job(database, batch_id).status == "succeeded"
    lines = _answers(database, acme, batch_id)
    runs = [line.rpartition(".")[2] for line in lines]
    assert runs == ["1"] * kept[0].num_rows * len(kept) + ["2"] * (NUM_IMAGES - 3 * len(kept))
    assert len({line.split()[0] for line in lines}) == NUM_IMAGES


def test_what_was_cancelled_leaves_nothing(
    database: Database, station: Station, acme: Merchant, model: str
) -> None:
    """Half a file would look like a whole one, and count against the quota for ever."""
    batch_id = _submit(database, acme, model, seconds=3)
    thread = threading.Thread(target=supervise, args=(station, batch_id))
    thread.start()
    wait_for(lambda: _parts(database, batch_id))
    with database.write() as session:
        batches.steer(session, acme.tenant_id, batch_id, RequestedAction.CANCEL)
    thread.join(30)
    assert job(database, batch_id).status == "cancelled"
    assert _parts(database, batch_id) == []
    with database.read() as session:
        assert session.scalars(select(BatchFile)).all() == []


def test_a_quota_of_bytes_ends_a_batch(
    database: Database, station: Station, acme: Merchant, batch_id: str
) -> None:
    """Answers would be stored past what the merchant pays for."""
    with database.write() as session:
        session.execute(
            update(Tenant).where(Tenant.id == acme.tenant_id).values(max_stored_bytes=1)
        )
    supervise(station, batch_id)
    found = job(database, batch_id)
    assert found.status == "failed"
    assert found.error is not None
    assert (found.error["code"], found.error["class"]) == ("quota_exceeded", "quota")


def test_a_part_that_could_not_be_stored_is_made_again(
    database: Database, station: Station, acme: Merchant, batch_id: str
) -> None:
    """A file with a hole would be sold as whole."""
    with database.write() as session:
        for seq in (1, 2):
            session.add(
                BatchPart(
                    job_id=batch_id,
                    tenant_id=acme.tenant_id,
                    seq=seq,
                    sha256="0" * 64,
                    size=1,
                    num_rows=3,
                    num_errors=0,
                )
            )
    supervise(station, batch_id)
    assert job(database, batch_id).status == "succeeded"
    assert len(_answers(database, acme, batch_id)) == NUM_IMAGES


def test_a_batch_whose_worker_died_is_taken_again(
    database: Database, station: Station, batch_id: str
) -> None:
    """A batch would run for ever on a machine that is gone."""
    with database.write() as session:
        slot = {"slot_id": station.slot_id, "device_class": "cpu"}
        assert claim(session, batch_id, **slot, lease=-1.0) is not None
    reap(database, max_losses=3)
    assert job(database, batch_id).status == "queued"
