"""A merchant with a ready dataset, and a way to queue and to claim its jobs."""

from collections.abc import Callable

import pytest

from db.lifecycle import slots
from db.lifecycle.claim import Claim, claim
from db.session import Database
from regraft.contract.ids import new_id
from tests.support.jobs import ready_dataset, submit
from tests.support.merchants import Merchant

Take = Callable[..., Claim]


@pytest.fixture
def dataset(database: Database, acme: Merchant) -> str:
    """A dataset that is ready."""
    return ready_dataset(database, acme.tenant_id)


@pytest.fixture
def queued(database: Database, acme: Merchant, dataset: str) -> str:
    """The id of a queued training job."""
    return submit(database, acme.tenant_id, dataset)


@pytest.fixture
def slot(database: Database) -> str:
    """The id of a live slot of class `cpu`."""
    slot_id = new_id("slot")
    with database.write() as session:
        slots.register(session, slot_id, device_class="cpu", lease=60)
    return slot_id


@pytest.fixture
def take(database: Database, slot: str) -> Take:
    """A function that claims a job for `lease` seconds, which may lie in the past."""

    def claimed(job_id: str, lease: float = 60.0) -> Claim:
        with database.write() as session:
            taken = claim(session, job_id, slot_id=slot, device_class="cpu", lease=lease)
        assert taken is not None
        return taken

    return claimed
