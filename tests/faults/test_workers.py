"""Faults of workers, with jobs of three merchants in flight; `test_fleet` has those of one job."""

import os
import random
import signal
from functools import partial

import pytest

from benchmarks.chaos.cluster import strike
from benchmarks.chaos.plan import Fault
from regraft.contract.status import JobStatus
from tests.support.fleet import children, is_alive
from tests.support.light_trainer import Behaviour
from tests.support.scene import Scene

pytestmark = pytest.mark.slow
IN_FLIGHT = 20


@pytest.mark.fault("F1", "F2")
@pytest.mark.parametrize("victim", [Fault.KILL_TRAINER, Fault.KILL_CHILD, Fault.KILL_WORKER])
def test_whatever_is_killed_every_job_succeeds_once(
    stage: Scene, dice: random.Random, victim: Fault
) -> None:
    """A host that runs out of memory would cost merchants the jobs that it ran."""
    job_ids = stage.queue(IN_FLIGHT, milliseconds=150)
    stage.wait(lambda: any(map(stage.is_training, job_ids)))
    stage.pause(dice, 1.0)
    stage.injector.inject(victim, dice.getrandbits(32))
    stage.recover(job_ids)
    assert {stage.row(job_id).status for job_id in job_ids} == {JobStatus.SUCCEEDED}
    assert sum(stage.row(job_id).lost_count for job_id in job_ids) <= 1


@pytest.mark.fault("F3")
def test_a_deployment_costs_no_life(stage: Scene, dice: random.Random) -> None:
    """Rolling a new version out would count as three crashes, and fail the longest jobs."""
    job_ids = stage.queue(IN_FLIGHT, milliseconds=150)
    stage.wait(lambda: any(map(stage.is_training, job_ids)))
    stage.pause(dice, 1.0)
    for name in ("worker-1", "worker-2"):
        stage.service.process(name).send_signal(signal.SIGTERM)
    stage.recover(job_ids)
    assert {stage.row(job_id).lost_count for job_id in job_ids} == {0}


@pytest.mark.fault("F4")
@pytest.mark.parametrize("poison", [Behaviour.DIE, Behaviour.KILL_SUPERVISOR])
def test_a_poison_job_stops_after_three_lives(stage: Scene, poison: Behaviour) -> None:
    """One merchant's job would kill worker after worker for ever, and nobody else's would run."""
    (bad,) = stage.queue(behaviour=poison)
    good = stage.queue(IN_FLIGHT, milliseconds=20)
    stage.recover([bad, *good])
    row = stage.row(bad)
    assert (row.status, row.attempt, row.lost_count) == (JobStatus.FAILED, 3, 3)
    assert row.error is not None
    assert row.error["code"] == "worker_lost"
    assert {stage.row(job_id).status for job_id in good} == {JobStatus.SUCCEEDED}


@pytest.mark.fault("F8")
def test_a_frozen_worker_that_wakes_up_changes_nothing(stage: Scene, dice: random.Random) -> None:
    """A host that thaws after its jobs were given away would overwrite what others made of them."""
    job_ids = stage.queue(IN_FLIGHT, milliseconds=300)
    stage.wait(lambda: any(map(stage.is_training, job_ids)))
    stage.injector.inject(Fault.FREEZE_WORKER, dice.getrandbits(32))
    # Not healed early: the worker must sleep through its lease.
    stage.wait(lambda: not stage.injector.is_healing, 60)
    stage.recover(job_ids)
    assert {stage.row(job_id).status for job_id in job_ids} == {JobStatus.SUCCEEDED}


@pytest.mark.fault("F27")
def test_a_trainer_that_hangs_is_replaced(stage: Scene) -> None:
    """A hung device would hold its slot for ever, and the job would seem to run."""
    (job_id,) = stage.queue(milliseconds=1000)
    stage.wait(partial(stage.is_training, job_id))
    hung = _trainer_of(stage, job_id)
    strike(hung, signal.SIGSTOP)
    stage.recover([job_id])
    assert not is_alive(hung)
    # A life was lost, and given back by the second attempt's first checkpoint.
    row = stage.row(job_id)
    assert (row.status, row.attempt) == (JobStatus.SUCCEEDED, 2)


@pytest.mark.fault("F30")
def test_a_power_cut_leaves_a_sound_database(stage: Scene, dice: random.Random) -> None:
    """The embedded database would be damaged, and with it every merchant's work."""
    job_ids = stage.queue(IN_FLIGHT, milliseconds=50)
    stage.wait(lambda: any(map(stage.is_training, job_ids)))
    stage.pause(dice, 1.0)
    stage.injector.inject(Fault.POWER_CUT, 0)
    with stage.database.read() as session:
        assert session.connection().exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    stage.recover(job_ids)
    assert {stage.row(job_id).status for job_id in job_ids} == {JobStatus.SUCCEEDED}


def _trainer_of(stage: Scene, job_id: str) -> int:
    running = stage.service.slots()
    (supervisor,) = [pid for pid, found in running.items() if found == job_id]
    (trainer,) = children(supervisor)
    assert trainer != os.getpid()
    return trainer
