"""Faults of a trainer's surroundings: killed as it writes."""

import pytest
from sqlalchemy import select

from db.models import JobEvent
from db.session import Database
from regraft.contract.status import JobStatus
from tests.support.light_trainer import Behaviour
from tests.support.scene import Scene

pytestmark = pytest.mark.slow


@pytest.mark.fault("F14")
@pytest.mark.parametrize(
    "fault", [Behaviour.DIE_WHILE_SAVING, Behaviour.KILL_SUPERVISOR_WHILE_STORING]
)
def test_a_kill_in_the_middle_of_a_checkpoint(stage: Scene, fault: Behaviour) -> None:
    """Half a checkpoint over the good one would cost a merchant everything so far."""
    (job_id,) = stage.queue(milliseconds=1000, behaviour=fault)
    stage.recover([job_id])
    row = stage.row(job_id)
    assert (row.status, row.attempt) == (JobStatus.SUCCEEDED, 2)
    said = _messages(stage.database, job_id)
    assert [line for line in said if line.startswith("Going on from the checkpoint")]
    assert not [line for line in said if "damaged" in line or "anew" in line]


def _messages(database: Database, job_id: str) -> list[str]:
    query = select(JobEvent.message).where(JobEvent.job_id == job_id)
    with database.read() as session:
        return list(session.scalars(query))
