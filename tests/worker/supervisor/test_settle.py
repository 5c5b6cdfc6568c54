"""How an attempt is written down at its end, when its user changed his mind at the last moment."""

import time
from pathlib import Path

from sqlalchemy import select, update

from db.lifecycle.claim import claim
from db.lifecycle.finish import Trained
from db.models import Job, JobResult, Model
from db.session import Database
from regraft.contract.status import JobStatus, RequestedAction
from tests.support.jobs import history, submit
from tests.support.merchants import Merchant
from worker.station import Station
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.heart import Heart
from worker.supervisor.settle import settle

_TRAINED = Trained(
    backbone="efficientnet_lite0",
    strategy="linear_probe",
    labels=["mug", "plate"],
    metrics={},
    transfer={},
    lineage={},
    num_images=2,
    files=[],
)


def _attempt(station: Station, job_id: str, workspace: Path) -> Attempt:
    with station.database.write() as session:
        taken = claim(session, job_id, slot_id=station.slot_id, device_class="cpu", lease=60.0)
    assert taken is not None
    began = time.monotonic()
    heart = Heart(station.database, taken, station.settings.timings, began)
    return Attempt(station, taken, heart, workspace, began)


def test_a_cancel_that_was_answered_wins_over_the_result(
    database: Database, acme: Merchant, dataset: str, station: Station, tmp_path: Path
) -> None:
    """A merchant was told that no model would be made, and then one appeared."""
    job_id = submit(database, acme.tenant_id, dataset)
    attempt = _attempt(station, job_id, tmp_path)
    with database.write() as session:
        wish = update(Job).where(Job.id == job_id).values(requested_action=RequestedAction.CANCEL)
        session.execute(wish)
    assert settle(attempt, outcome.trained(attempt.claim, _TRAINED)) is JobStatus.CANCELLED
    assert history(database, job_id)[-1] == ("running", "cancelled")
    with database.read() as session:
        assert session.scalars(select(Model)).all() == []
        assert session.scalars(select(JobResult)).all() == []
