"""The oracle must see what it is there to see: each breach is made by hand and looked for."""

import time
from collections.abc import Iterable

import pytest
from sqlalchemy import delete, insert, update

from benchmarks.chaos import oracle, resumption
from benchmarks.chaos.journal import Death, Injected, Journal, Refusal
from benchmarks.chaos.plan import Fault
from core.settings import Settings
from db.models import BatchFile, BatchPart, FileSegment, Job, JobEvent, JobResult, Model, ModelFile
from db.session import Database
from regraft.contract.ids import new_id
from regraft.contract.status import JobStatus
from tests.support.api import Api
from tests.support.jobs import upload
from tests.support.merchants import Merchant

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def trained(database: Database, settings: Settings, acme: Merchant) -> str:
    """A job that succeeded, with a history, a result and a file of a model."""
    job_id = Api(settings, database).trained(acme, {"model.onnx": [b"weights"]}).job_id
    _move(database, acme, job_id, "queued", "running")
    _move(database, acme, job_id, "running", "succeeded")
    _ran(database)
    return job_id


def _ran(database: Database) -> None:
    """Let each job have run once, but for the uploads' own, which nobody checked."""
    with database.write() as session:
        session.execute(update(Job).values(fence=1))
        session.execute(update(Job).where(Job.kind == "ingest").values(status="queued"))


def _move(database: Database, merchant: Merchant, job_id: str, frm: str, to: str) -> None:
    with database.write() as session:
        session.execute(
            insert(JobEvent).values(
                id=new_id("evt"),
                tenant_id=merchant.tenant_id,
                job_id=job_id,
                fence=1,
                level="info",
                type="status",
                message="moved",
                data={"from": frm, "to": to},
            )
        )


def _note(
    database: Database, merchant: Merchant, job_id: str, fence: int, step: int, *, resumed: bool
) -> None:
    """A checkpoint that was stored, or the word of an attempt that went on from one."""
    words = f"Going on from the checkpoint at step {step}." if resumed else "Checkpoint."
    with database.write() as session:
        session.execute(
            insert(JobEvent).values(
                id=new_id("evt"),
                tenant_id=merchant.tenant_id,
                job_id=job_id,
                fence=fence,
                level="info",
                type="message" if resumed else "checkpoint",
                message=words,
                data={"step": step},
            )
        )


def _set(database: Database, job_id: str, **values: object) -> None:
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def _found(database: Database, job_id: str, journal: Journal | None = None) -> list[str]:
    """Return the breaches that concern one training; the upload's own job is not run here."""
    given = journal or Journal()
    with database.read() as session:
        found = oracle.histories(session)
        checks: list[Iterable[str]] = [
            oracle.every_job_ended(session, given),
            oracle.nothing_is_doubled(session),
            oracle.submissions_are_single(session),
            oracle.moves_are_legal(session, found),
            oracle.failures_are_explained(session, given, "sqlite"),
        ]
        breaches = [breach for check in checks for breach in check]
    breaches += oracle.results_are_whole(database)
    return [
        breach[:2] for breach in breaches if job_id in breach or breach.startswith(("I2", "I3"))
    ]


def test_a_sound_job_is_no_breach(database: Database, trained: str) -> None:
    """A campaign that always fails is soon ignored."""
    assert _found(database, trained) == []


def test_a_job_that_never_ends(database: Database, trained: str) -> None:
    """Lost work would be reported as success."""
    _set(database, trained, status="running")
    assert "I1" in _found(database, trained)


def test_an_acknowledged_job_that_is_gone(database: Database, trained: str) -> None:
    """A job whose row is lost would not be missed by counting rows."""
    gone = new_id("job")
    assert _found(database, gone, Journal(acknowledged={gone: "merchant"})) == ["I1"]


def test_a_result_of_a_job_that_did_not_succeed(database: Database, trained: str) -> None:
    """A cancelled job with a model would be charged for."""
    _set(database, trained, status="cancelled")
    assert "I2" in _found(database, trained)


def test_a_success_without_a_model(database: Database, trained: str) -> None:
    """A merchant would have a job that succeeded and nothing to download."""
    with database.write() as session:
        session.execute(update(JobResult).values(model_id=None))
        for table in (FileSegment, ModelFile, Model):
            session.execute(delete(table))
    assert "I2" in _found(database, trained)


def test_an_upload_that_is_checked_for_ever_or_stored_twice(
    database: Database, trained: str, acme: Merchant
) -> None:
    """A merchant's photos would be gone, or be paid for twice."""
    first = upload(database, acme.tenant_id, {})
    dataset, _ = upload(database, acme.tenant_id, {})
    assert first[0] != dataset
    with database.read() as session:
        assert any(dataset in breach for breach in oracle.every_job_ended(session, Journal()))
        assert len(list(oracle.submissions_are_single(session))) == 1


def test_a_part_of_an_upload_that_no_kill_explains(settings: Settings) -> None:
    """Uploads that the service forgets would fill the disk."""
    part = settings.home / "uploads" / "tmp1"
    part.mkdir(parents=True)
    written = part.stat().st_mtime
    kill = Injected(Fault.KILL_API, written + 1, written + 1)
    for injected, expected in (([], 1), ([kill], 0), ([kill._replace(began=0, ended=1)], 1)):
        assert len(list(oracle.files_left(settings.home, Journal(injected=injected)))) == expected


@pytest.mark.parametrize("values", [{"sha256": "0" * 64}, {"size": 1}])
def test_a_file_that_is_not_what_its_row_says(
    database: Database, trained: str, values: dict[str, object]
) -> None:
    """A merchant would deploy damaged weights."""
    with database.write() as session:
        session.execute(update(ModelFile).values(**values))
    assert _found(database, trained) == ["I3"]


@pytest.fixture
def answered(database: Database, settings: Settings, acme: Merchant) -> str:
    """A batch that succeeded, with its answers in two parts."""
    api = Api(settings, database)
    batch_id = api.answered(acme, api.trained(acme, {}), [b"mug\n", b"plate\n"])
    _move(database, acme, batch_id, "running", "succeeded")
    _ran(database)
    return batch_id


def test_answers_that_are_not_what_their_row_says(database: Database, answered: str) -> None:
    """A merchant would relabel a shop by answers of which a part is gone, or stands twice."""
    assert list(oracle.results_are_whole(database)) == []
    with database.write() as session:
        session.execute(delete(BatchPart).where(BatchPart.seq == 1))
    (breach,) = oracle.results_are_whole(database)
    assert answered in breach


def test_a_batch_without_answers(database: Database, answered: str) -> None:
    """A batch would succeed with nothing to download."""
    with database.write() as session:
        assert list(oracle.nothing_is_doubled(session)) == []
        session.execute(delete(BatchFile).where(BatchFile.job_id == answered))
        assert list(oracle.nothing_is_doubled(session)) == ["I2 0 files of 1 batches"]


def test_a_result_of_another_fence(database: Database, trained: str) -> None:
    """A woken worker's write over the new owner's would pass as the owner's."""
    with database.write() as session:
        session.execute(update(JobResult).values(fence=2))
    assert _found(database, trained) == ["I3"]


def test_a_job_that_ended_twice(database: Database, trained: str, acme: Merchant) -> None:
    """A job that ran again after its end would look like one that ran once."""
    _move(database, acme, trained, "succeeded", "running")
    _move(database, acme, trained, "running", "succeeded")
    assert set(_found(database, trained)) == {"I4"}


@pytest.mark.parametrize(("resumed_from", "breaches"), [(20, 0), (10, 1), (None, 1)])
def test_work_that_is_done_again(
    database: Database, trained: str, acme: Merchant, resumed_from: int | None, breaches: int
) -> None:
    """Hours of training would be thrown away by each loss, and every job would still succeed."""
    _note(database, acme, trained, 0, 10, resumed=False)
    _note(database, acme, trained, 0, 20, resumed=False)
    if resumed_from is not None:
        _note(database, acme, trained, 1, resumed_from, resumed=True)
    with database.read() as session:
        found, marked = oracle.histories(session), resumption.marks(session)
    assert len(list(resumption.work_goes_on(found, marked))) == breaches


def test_the_work_between_a_checkpoint_and_a_death(
    database: Database, trained: str, acme: Merchant
) -> None:
    """The figure for repeated work would be nought whatever was lost."""
    _note(database, acme, trained, 1, 10, resumed=False)
    with database.read() as session:
        found, marked = oracle.histories(session), resumption.marks(session)
    stored = marked[trained][0].at
    deaths = [Death(trained, 1, "cpu", stored + 3.0), Death(trained, 7, "cpu", stored + 3.0)]
    lost = resumption.repeated(Journal(deaths=deaths), found, marked)
    assert lost == [pytest.approx(3.0)]


def test_a_failure_without_a_fault(database: Database, trained: str) -> None:
    """A bug that fails jobs would hide among the injected faults."""
    at = time.time()
    _set(
        database,
        trained,
        status=JobStatus.FAILED,
        error={"code": "worker_lost"},
        created_at=at - 9,
        finished_at=at,
    )
    with database.read() as session:
        kill = Injected(Fault.KILL_WORKER, at - 5, at - 5)
        for kills, breaches in ((0, 1), (2, 1), (3, 0)):
            journal = Journal(injected=[kill] * kills)
            found = list(oracle.failures_are_explained(session, journal, "sqlite"))
            assert len(found) == breaches


def test_a_server_error_without_an_outage(database: Database) -> None:
    """Merchants would see errors that nobody counts."""
    crash = Injected(Fault.CRASH_DATABASE, 100.0, 103.0)
    answers = [(101.0, 503), (101.0, 500), (200.0, 503)]
    refusals = [Refusal(at, "GET", status) for at, status in answers]
    journal = Journal(injected=[crash], refusals=refusals)
    assert len(list(oracle.answers_are_explained(journal, "postgres"))) == 2
