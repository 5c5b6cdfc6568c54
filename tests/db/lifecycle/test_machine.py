"""Any order of moves by any number of workers, awake or not: the invariants of runtime.md.

I2: one result and one model for each job that succeeded, and for no other.
I4: a job's history is a chain of legal edges with exactly one end.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.refusals import RefusedError
from db.lifecycle import finish, guard, heartbeat, requeue
from db.lifecycle.claim import Claim, claim
from db.lifecycle.heartbeat import Report
from db.lifecycle.reap import reap
from db.models import Job, JobResult, Model
from db.repositories import jobs
from db.session import Database
from regraft.contract.status import TERMINAL, JobStatus
from tests.db.lifecycle.test_moves import ERROR, TRAINED
from tests.support.jobs import history, ready_dataset, submit
from tests.support.merchants import create

_LEGAL = {
    (None, "queued"),
    ("queued", "running"),
    ("queued", "cancelled"),
    ("queued", "paused"),
    ("paused", "queued"),
    ("paused", "cancelled"),
    *(("running", to) for to in ("queued", "paused", "succeeded", "failed", "cancelled")),
}
_MOVES: dict[str, Callable[[Claim], Callable[[Session], object]]] = {
    "renew": lambda held: partial(heartbeat.beat, held=held, report=Report(), lease=60),
    "succeed": lambda held: partial(finish.succeed_training, claim=held, trained=TRAINED),
    "fail": lambda held: partial(finish.fail, held=held, error=ERROR),
    "cancelled": lambda held: partial(finish.cancel, held=held),
    "release": lambda held: partial(requeue.release, held=held),
    "pause": lambda held: partial(requeue.pause, held=held),
    "retry": lambda held: partial(requeue.retry, held=held, message="Busy.", max_retries=3),
    "lose": lambda held: partial(requeue.lose, held=held, error=ERROR, max_losses=3),
}


class Moves(RuleBasedStateMachine):
    """Workers that claim, sleep through their leases, wake up and try to write."""

    database: ClassVar[Database]
    tenant_id: ClassVar[str]
    dataset_id: ClassVar[str]
    queued = Bundle("queued")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[str] = []

    @rule(target=queued)
    def submit(self) -> str:
        """A merchant submits."""
        self.jobs.append(submit(self.database, self.tenant_id, self.dataset_id))
        return self.jobs[-1]

    @rule(target=claims, job_id=queued, lease=st.sampled_from([60.0, -1.0]))
    def claim(self, job_id: str, lease: float) -> object:
        """A hint arrives, perhaps for the tenth time."""
        with self.database.write() as session:
            before = guard.whereabouts(session, job_id)
            taken = claim(session, job_id, slot_id="slot_x", device_class="cpu", lease=lease)
        assert before is not None
        assert taken is None or before.status is JobStatus.QUEUED
        return multiple() if taken is None else taken

    @rule(held=claims, move=st.sampled_from(sorted(_MOVES)))
    def write(self, held: Claim, move: str) -> None:
        """A worker writes: it succeeds exactly when its fence is the newest."""
        with self.database.write() as session:
            before = guard.whereabouts(session, held.job_id)
            done = _MOVES[move](held)(session)
            after = guard.whereabouts(session, held.job_id)
        if before == (JobStatus.RUNNING, held.fence):
            assert done
        else:
            assert not done
            assert after == before

    @rule()
    def reap(self) -> None:
        """The reaper passes."""
        reap(self.database, max_losses=3)

    @rule(job_id=queued, steer=st.sampled_from([jobs.cancel, jobs.pause, jobs.stop, jobs.resume]))
    def wish(self, job_id: str, steer: Callable[..., object]) -> None:
        """The merchant cancels, pauses, stops or resumes, whatever the job is doing."""
        with self.database.write() as session:
            before = guard.whereabouts(session, job_id)
            try:
                steer(session, self.tenant_id, job_id)
            except RefusedError:
                assert guard.whereabouts(session, job_id) == before

    @invariant()
    def results_belong_to_successes(self) -> None:
        """I2."""
        mine = Job.id.in_(self.jobs)
        with self.database.read() as session:
            done = set(session.scalars(select(Job.id).where(mine, Job.status == "succeeded")))
            results = session.scalars(select(JobResult.job_id)).all()
            models = session.scalars(select(Model.job_id)).all()
        assert sorted(set(results) & set(self.jobs)) == sorted(done)
        assert sorted(set(models) & set(self.jobs)) == sorted(done)

    @invariant()
    def histories_are_chains(self) -> None:
        """I4."""
        for job_id in self.jobs:
            moves = history(self.database, job_id)
            assert set(moves) <= _LEGAL
            assert moves[0] == (None, "queued")
            assert all(one[1] == after[0] for one, after in itertools.pairwise(moves))
            assert all(to not in TERMINAL for _, to in moves[:-1])
            with self.database.read() as session:
                found = guard.whereabouts(session, job_id)
            assert found is not None
            assert found.status == moves[-1][1]

    @invariant()
    def leases_belong_to_running_jobs(self) -> None:
        """A paused job that held a lease would be taken for a dead worker's."""
        mine = Job.id.in_(self.jobs)
        with self.database.read() as session:
            held = session.scalars(select(Job.status).where(mine, Job.lease_until.is_not(None)))
            assert set(held) <= {"running"}


def test_no_order_of_moves_breaks_a_job(database: Database) -> None:
    """A job would be lost, have two results, or come back from the dead."""
    tenant_id = create(database, "Acme Home Goods").tenant_id

    class Bound(Moves):
        pass

    Bound.database, Bound.tenant_id = database, tenant_id
    Bound.dataset_id = ready_dataset(database, tenant_id)
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
