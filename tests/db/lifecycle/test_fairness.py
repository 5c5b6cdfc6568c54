"""Fair shares: the arithmetic on simulated devices, and the same on both databases."""

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update
from sqlalchemy.engine import Connection

from db.base import now
from db.lifecycle import dispatch, finish, shares, slots
from db.lifecycle.claim import claim
from db.lifecycle.dispatch import HINTS_PER_SLOT
from db.lifecycle.fairness import Field, Standing, Waiting, fair_order, place, seconds_to_wait
from db.models import FairShare, Job, Tenant
from db.session import Database
from regraft.contract.errors import ErrorCode, JobError
from regraft.contract.ids import new_id
from tests.db.lifecycle.conftest import Take
from tests.support.jobs import job, ready_dataset, submit
from tests.support.merchants import Merchant

CROWD, GUEST = "acme", "zenith"
_FAILED = JobError.of(ErrorCode.TOO_FEW_IMAGES, "Too few.")


class _Run(NamedTuple):
    ends: float
    began: float
    job: Waiting


class _Devices:
    """Slots and a queue of hints as the real ones behave, on a clock that only jobs move."""

    def __init__(self, slots: int, durations: dict[str, float], weights: dict[str, int]) -> None:
        self.slots, self.durations, self.weights = slots, durations, weights
        self.now, self.reached = 0.0, 0.0
        self.clocks = dict.fromkeys(weights, 0.0)
        self.until = dict.fromkeys(weights, 0.0)
        self.waiting: list[Waiting] = []
        self.hints: deque[Waiting] = deque()
        self.running: list[_Run] = []
        self.started: list[tuple[float, Waiting]] = []

    def settle(self) -> None:
        """Let free slots take hints, and the dispatcher give more, until nothing moves."""
        while len(self.running) < self.slots and (self.hints or self.waiting):
            while self.hints and len(self.running) < self.slots:
                self._start(self.hints.popleft())
            free = self.slots - len(self.running)
            room = HINTS_PER_SLOT * free - len(self.hints) if free else 0
            for chosen in fair_order(self.waiting, self._field(), max(room, 0)):
                self.waiting.remove(chosen)
                self.hints.append(chosen)

    def step(self) -> None:
        """Go on to the next end of a job."""
        run = min(self.running)
        self.running.remove(run)
        self.now = run.ends
        tenant = run.job.tenant_id
        self.clocks[tenant] += (run.ends - run.began) / self.weights[tenant]
        self.until[tenant] = self.now
        # The worker takes the next hint sooner than any dispatcher looks.
        if self.hints:
            self._start(self.hints.popleft())
        self.settle()

    def _start(self, chosen: Waiting) -> None:
        tenant = chosen.tenant_id
        self.clocks[tenant] = max(self.clocks[tenant], self.reached)
        self.reached = max(self.reached, self.clocks[tenant])
        self.running.append(_Run(self.now + self.durations[tenant], self.now, chosen))
        self.started.append((self.now, chosen))

    def _field(self) -> Field:
        typical = min(self.durations.values())
        standings = {}
        for tenant, weight in self.weights.items():
            spent = [self.now - run.began for run in self.running if run.job.tenant_id == tenant]
            hinted = sum(job.tenant_id == tenant for job in self.hints)
            pending = sum(max(one, typical) for one in spent) + hinted * typical
            standings[tenant] = Standing(
                clock=self.clocks[tenant],
                weight=weight,
                load=len(spent) + hinted,
                pending=pending,
                active_until=self.until[tenant],
            )
        return Field(standings, self.reached, typical)


def _jobs(tenant: str, count: int, due: float) -> list[Waiting]:
    return [Waiting(f"{tenant}{number:05}", tenant, 0, due) for number in range(count)]


@settings(max_examples=150, deadline=None)
@given(
    slots=st.integers(1, 4),
    seconds=st.tuples(st.floats(1, 100), st.floats(1, 100)),
    weights=st.tuples(st.integers(1, 10), st.integers(1, 10)),
    guest_ran=st.integers(0, 30),
    crowd_ran=st.integers(0, 30),
)
def test_a_first_job_waits_two_slot_times_at_most(
    slots: int,
    seconds: tuple[float, float],
    weights: tuple[int, int],
    guest_ran: int,
    crowd_ran: int,
) -> None:
    """A merchant with 5,000 jobs would keep everybody else waiting for days."""
    durations = dict(zip((CROWD, GUEST), seconds, strict=True))
    devices = _Devices(slots, durations, dict(zip((CROWD, GUEST), weights, strict=True)))
    devices.waiting = _jobs("history", 0, 0.0) + [
        Waiting(f"a{n:05}", GUEST, 0, 0.0) for n in range(guest_ran)
    ]
    devices.settle()
    while devices.running:
        devices.step()
    devices.waiting += _jobs(CROWD, 5000, devices.now)
    devices.settle()
    for _ in range(crowd_ran):
        devices.step()
    guest = Waiting("zz", GUEST, 0, devices.now)
    asked = devices.now
    devices.waiting.append(guest)
    devices.settle()
    while not any(found == guest for _, found in devices.started):
        devices.step()
    began = next(when for when, found in devices.started if found == guest)
    assert began - asked <= 2 * max(seconds) + 1e-6


@settings(max_examples=50, deadline=None)
@given(weights=st.tuples(st.integers(1, 5), st.integers(1, 5)), seconds=st.floats(1, 50))
def test_time_is_shared_by_weight(weights: tuple[int, int], seconds: float) -> None:
    """A merchant who pays for half of the devices would get what others leave."""
    by_name = dict(zip((CROWD, GUEST), weights, strict=True))
    devices = _Devices(1, {CROWD: seconds, GUEST: 2 * seconds}, by_name)
    devices.waiting = [*_jobs(CROWD, 500, 0.0), *_jobs(GUEST, 500, 0.0)]
    devices.settle()
    for _ in range(300):
        devices.step()
    used = [devices.clocks[name] for name in (CROWD, GUEST)]
    # The clocks are seconds by weight: equal ones are a fair share, to within a few jobs.
    assert abs(used[0] - used[1]) <= 6 * seconds


@settings(max_examples=30, deadline=None)
@given(clients=st.integers(2, 4))
def test_a_crowd_is_not_starved_by_those_who_come_and_go(clients: int) -> None:
    """Merchants who submit one job after another would always go before a patient batch."""
    guests = [f"guest{number}" for number in range(clients)]
    names = dict.fromkeys([CROWD, *guests], 1)
    devices = _Devices(1, dict.fromkeys(names, 10.0), names)
    devices.waiting = [*_jobs(CROWD, 500, 0.0), *(Waiting(name, name, 0) for name in guests)]
    devices.settle()
    for number in itertools.count():
        if number == 200:
            break
        done = devices.running[0].job.tenant_id
        devices.step()
        if done != CROWD:
            devices.waiting.append(Waiting(f"{done}{number:05}", done, 0, devices.now))
            devices.settle()
    mine = sum(found.tenant_id == CROWD for _, found in devices.started)
    assert mine >= 200 / (clients + 1) - 2


def test_priority_then_age_order_a_merchants_own_jobs() -> None:
    """A merchant's urgent job would wait behind its own batch."""
    jobs = [Waiting("a0", CROWD, 0), Waiting("a1", CROWD, 5), Waiting("z0", GUEST, 1)]
    found = fair_order(jobs, Field({}), 3)
    assert [one.job_id for one in found] == ["a1", "z0", "a0"]


def test_a_quota_holds() -> None:
    """A merchant on the small plan would fill every device."""
    field = Field({CROWD: Standing(load=1, max_running=2)})
    assert [one.job_id for one in fair_order(_jobs(CROWD, 5, 0.0), field, 5)] == [f"{CROWD}00000"]


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    clocks=st.lists(st.floats(0, 500), min_size=4, max_size=4),
    weights=st.lists(st.integers(1, 5), min_size=4, max_size=4),
)
def test_a_shown_place_is_the_place(
    counts: list[int], clocks: list[float], weights: list[int]
) -> None:
    """A merchant would be told to be next while twenty others go before."""
    names = [f"m{number}" for number in range(len(counts))]
    standings = {
        name: Standing(clock, weight, active_until=1.0)
        for name, clock, weight in zip(names, clocks, weights, strict=False)
    }
    field = Field(standings, reached=100.0, typical=60.0)
    waiting = [one for n, c in zip(names, counts, strict=True) for one in _jobs(n, c, 0.0)]
    order = fair_order(waiting, field, len(waiting))
    queued = dict(zip(names, counts, strict=True))
    for ahead, found in enumerate(order):
        before = sum(one.tenant_id == found.tenant_id for one in order[:ahead])
        shown = place(field, queued, found.tenant_id, before, found.due)
        # Merchants whose clocks are equal may change places.
        assert abs(shown - ahead) < len(names)


def test_an_estimate_needs_a_device() -> None:
    """A merchant would be promised a time by a service without workers."""
    assert seconds_to_wait(0, 0, 0, 60) is None
    assert seconds_to_wait(0, 0, 1, 60) == 0
    assert seconds_to_wait(3, 2, 2, 60) == 120


def _share(database: Database, tenant_id: str) -> FairShare:
    with database.read() as session:
        return session.scalars(select(FairShare).where(FairShare.tenant_id == tenant_id)).one()


def _fail_after(database: Database, take: Take, job_id: str, seconds: float) -> None:
    held = take(job_id)
    with database.write() as session:
        ago = {"claimed_at": Job.claimed_at - seconds}
        session.execute(update(Job).where(Job.id == job_id).values(ago))
        finish.fail(session, held, _FAILED)


def test_each_end_is_charged_by_weight(
    database: Database, acme: Merchant, zenith: Merchant, dataset: str, take: Take
) -> None:
    """Fairness would go by the number of jobs, and long ones would be free."""
    with database.write() as session:
        session.execute(update(Tenant).where(Tenant.id == acme.tenant_id).values(weight=4))
    for seconds in (60, 40):
        _fail_after(database, take, submit(database, acme.tenant_id, dataset), seconds)
    mine = _share(database, acme.tenant_id)
    assert (round(mine.device_seconds), round(mine.clock)) == (100, 25)
    assert mine.start_tag < mine.clock
    # A newcomer starts where the others are: it neither owes nor is owed.
    theirs = ready_dataset(database, zenith.tenant_id)
    _fail_after(database, take, submit(database, zenith.tenant_id, theirs), 8)
    newcomer = _share(database, zenith.tenant_id)
    assert (round(newcomer.start_tag), round(newcomer.clock)) == (15, 23)


def test_the_one_who_used_least_goes_first(
    database: Database, acme: Merchant, zenith: Merchant, dataset: str, take: Take
) -> None:
    """A batch of 5,000 would run to its end before anybody else's second job."""
    theirs = ready_dataset(database, zenith.tenant_id)
    _fail_after(database, take, submit(database, acme.tenant_id, dataset), 500)
    crowd = [submit(database, acme.tenant_id, dataset, priority=9) for _ in range(30)]
    later = [submit(database, zenith.tenant_id, theirs) for _ in range(3)]
    with database.write() as session:
        session.execute(update(FairShare).values(active_until=now() + 9))
    hinted = [hint.job_id for hint in dispatch.mark(database, redispatch=30)]
    assert hinted == later[:HINTS_PER_SLOT]
    assert not set(hinted) & set(crowd)


def test_a_quota_holds_for_hints_and_for_claims(
    database: Database, acme: Merchant, dataset: str, slot: str, take: Take
) -> None:
    """A hint that was sent twice would lift a merchant over its quota."""
    jobs = [submit(database, acme.tenant_id, dataset) for _ in range(3)]
    with database.write() as session:
        session.execute(update(Tenant).where(Tenant.id == acme.tenant_id).values(max_running=1))
    assert [hint.job_id for hint in dispatch.mark(database, redispatch=30)] == jobs[:1]
    take(jobs[0])
    with database.write() as session:
        late = claim(session, jobs[1], slot_id=slot, device_class="cpu", lease=60)
    assert late is None
    assert job(database, jobs[1]).status == "queued"


def _statements(database: Database, tenant_id: str) -> Sequence[tuple[str, Any]]:
    """Return every statement that a look of the dispatcher and one of a merchant execute."""
    seen: list[tuple[str, Any]] = []

    def note(
        _c: Connection, _cursor: object, statement: str, parameters: object, *_: object
    ) -> None:
        if "FROM job" in statement and not statement.startswith("EXPLAIN"):
            seen.append((statement, parameters))

    event.listen(database.engine, "before_cursor_execute", note)
    dispatch.mark(database, redispatch=30)
    with database.read() as session:
        shares.field(session, "cpu", [tenant_id], 30)
    event.remove(database.engine, "before_cursor_execute", note)
    return seen


def test_finished_jobs_cost_dispatch_nothing(
    database: Database, acme: Merchant, dataset: str, slot: str, take: Take
) -> None:
    """After a million jobs every start would be seconds late."""
    take(submit(database, acme.tenant_id, dataset))
    submit(database, acme.tenant_id, dataset)
    with database.write() as session:
        slots.register(session, new_id("slot"), device_class="cpu", lease=60)
    if not database.is_sqlite:
        return
    statements = _statements(database, acme.tenant_id)
    assert len(statements) >= 3
    with database.engine.connect() as connection:
        for statement, parameters in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps = [row[3] for row in plan if " job" in row[3]]
            assert steps
            assert all("ix_job_queued" in one or "ix_job_running" in one for one in steps), steps
