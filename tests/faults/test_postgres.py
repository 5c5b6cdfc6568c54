"""Faults of PostgreSQL: acknowledged work stays, and everybody comes back by themselves."""

import random
import time
import uuid

import pytest

from benchmarks.chaos.plan import Fault
from regraft.contract.status import JobStatus
from tests.support.scene import Scene

pytestmark = pytest.mark.slow
IN_FLIGHT = 20


@pytest.mark.fault("F12")
def test_a_crash_of_the_database_loses_nothing(postgres_stage: Scene, dice: random.Random) -> None:
    """A job that was acknowledged would be gone, or its model exist twice."""
    stage = postgres_stage
    server = stage.service.postgres
    assert server is not None
    job_ids = stage.queue(IN_FLIGHT, milliseconds=100)
    for _ in range(3):
        stage.pause(dice, 1.0)
        server.crash()
        server.start()
    stage.recover(job_ids)
    assert {stage.row(job_id).status for job_id in job_ids} == {JobStatus.SUCCEEDED}


@pytest.mark.fault("F12")
def test_submits_are_put_off_while_the_database_is_away(postgres_stage: Scene) -> None:
    """A merchant's client would give up on a 500, or send a job twice."""
    stage = postgres_stage
    server = stage.service.postgres
    assert server is not None
    key = uuid.uuid4().hex
    server.crash()
    try:
        refused = stage.post(key=key)
        assert refused.status == 503
        assert int(refused.retry_after or 0) > 0
    finally:
        server.start()
    accepted = stage.wait(lambda: stage.post(key=key).job_id)
    stage.recover([accepted])


@pytest.mark.fault("F13")
def test_cut_connections_are_made_anew(postgres_stage: Scene) -> None:
    """A failover would leave workers and control deaf until somebody restarts them."""
    stage = postgres_stage
    job_ids = stage.queue(IN_FLIGHT, milliseconds=100)
    for _ in range(5):
        stage.injector.inject(Fault.CUT_CONNECTIONS, 0)
        time.sleep(0.5)
    stage.recover(job_ids)
    assert {stage.row(job_id).status for job_id in job_ids} == {JobStatus.SUCCEEDED}
