"""The oracle: what must hold once the faults are over, asked of SQL and of the machine.

I1 to I8 are the invariants of docs/reliability.md; each check yields the breaches that it found.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.chaos.cluster import Cluster
from benchmarks.chaos.journal import DISTURBING, Journal
from benchmarks.chaos.plan import Fault
from db.blobs import SqlBlobStore
from db.models import BatchFile, Dataset, Job, JobEvent, JobResult, Model, ModelFile
from db.repositories import batches, models
from db.repositories.models import StoredFile
from db.session import Database
from regraft.contract.errors import ErrorCode
from regraft.contract.status import TERMINAL, TRAINER_KINDS, JobKind, JobStatus
from tests.support.fleet import children, descendants

LEGAL = {
    (None, "queued"),
    *(("queued", to) for to in ("running", "cancelled", "paused")),
    *(("running", to) for to in ("queued", "succeeded", "failed", "cancelled", "paused")),
    *(("paused", to) for to in ("queued", "cancelled")),
}
# A frozen holder of SQLite's one write lock keeps everybody waiting: an outage of the database.
_OUTAGES = {
    "sqlite": frozenset({Fault.FREEZE_WORKER}),
    "postgres": frozenset({Fault.CRASH_DATABASE, Fault.CUT_CONNECTIONS}),
}
_API_KILLING = frozenset({Fault.KILL_API, Fault.POWER_CUT})
_UPLOAD_SECONDS = 30.0
_KILL_SECONDS = 1.0  # a kill is noted first, and what it kills may write meanwhile
_UNAVAILABLE = 503
_AFTERMATH_SECONDS = 12.0
_LIVES = 3
_FILES_CHECKED = 4000
_DELAYED = "The job is tried again."
# Celery's empty folder, torch's compiler cache, ONNX Runtime's session id.
_OF_LIBRARIES = ("pymp-", "torchinductor_", ".ses")


class Move(NamedTuple):
    """One change of a job's status; one that is `delayed` has to wait before it is tried again."""

    frm: str | None
    to: str
    fence: int
    at: float
    delayed: bool = False


def histories(session: Session) -> dict[str, list[Move]]:
    """Return every job's moves in their order."""
    query = select(
        JobEvent.job_id, JobEvent.data, JobEvent.fence, JobEvent.created_at, JobEvent.message
    )
    rows = session.execute(query.where(JobEvent.type == "status").order_by(JobEvent.seq))
    found: dict[str, list[Move]] = defaultdict(list)
    for row in rows:
        frm = row.data.get("from")
        before = None if frm is None else str(frm)
        delayed = row.message.endswith(_DELAYED)
        to = str(row.data["to"])
        found[row.job_id].append(Move(before, to, row.fence, row.created_at, delayed))
    return found


def every_job_ended(session: Session, journal: Journal) -> Iterator[str]:
    """I1: whatever was acknowledged exists and is terminal; and so is everything else."""
    jobs = {row.id: row.status for row in session.execute(select(Job.id, Job.status))}
    query = select(Dataset.id, Dataset.status)
    datasets = {row.id: row.status for row in session.execute(query)}
    for found_id in journal.acknowledged:
        if found_id not in jobs and found_id not in datasets:
            yield f"I1 {found_id} was acknowledged and is gone"
    for job_id, status in jobs.items():
        if status not in TERMINAL:
            yield f"I1 {job_id} is {status} for ever"
    for dataset_id, status in datasets.items():
        if status == "processing":
            yield f"I1 {dataset_id} is {status} for ever"


def nothing_is_doubled(session: Session) -> Iterator[str]:
    """I2: one result for each success, one model for each training, one file for each batch."""
    succeeded = set(session.scalars(select(Job.id).where(Job.status == JobStatus.SUCCEEDED)))
    results = list(session.scalars(select(JobResult.job_id)))
    train = select(JobResult.job_id).join(Job).where(Job.kind == JobKind.TRAIN)
    trained = list(session.scalars(train))
    registered = list(session.scalars(select(Model.job_id)))
    if sorted(results) != sorted(succeeded):
        yield f"I2 {len(results)} results of {len(succeeded)} successes"
    if sorted(registered) != sorted(trained):
        yield f"I2 {len(registered)} models of {len(trained)} trainings"
    batch = select(JobResult.job_id).join(Job).where(Job.kind == JobKind.BATCH)
    answered = list(session.scalars(batch))
    files = list(session.scalars(select(BatchFile.job_id)))
    if sorted(answered) != sorted(files):
        yield f"I2 {len(files)} files of {len(answered)} batches"


def submissions_are_single(session: Session) -> Iterator[str]:
    """I2: a merchant who insists with one key gets one job; the campaign's names are unique."""
    submitted = Job.kind.in_(TRAINER_KINDS)
    twice = select(Job.name).where(submitted).group_by(Job.tenant_id, Job.name)
    for name in session.scalars(twice.having(func.count() > 1)):
        yield f"I2 {name} was submitted once and queued twice"
    doubled = select(Dataset.name).group_by(Dataset.tenant_id, Dataset.name)
    for name in session.scalars(doubled.having(func.count() > 1)):
        yield f"I2 {name} was uploaded once and stored twice"


def results_are_whole(database: Database) -> Iterator[str]:
    """I3: a result's fence is its job's, and a file's bytes have the hash of its row."""
    with database.read() as session:
        query = select(Job.id).join(JobResult, JobResult.job_id == Job.id)
        for job_id in session.scalars(query.where(JobResult.fence != Job.fence)):
            yield f"I3 {job_id} has a result of another fence"
        light = select(ModelFile).order_by(ModelFile.size, ModelFile.model_id)
        files = session.scalars(light.limit(_FILES_CHECKED)).all()
        owners = session.execute(select(BatchFile.tenant_id, BatchFile.job_id)).all()
    for file in files:
        with database.read() as session:
            stored = models.stored_file(session, file.tenant_id, file.model_id, file.name)
        if not _is_whole(database, stored):
            yield f"I3 {file.name} of {file.model_id} has other bytes than its row says"
    for tenant_id, job_id in owners:
        with database.read() as session:
            stored = batches.stored_file(session, tenant_id, job_id)
        if not _is_whole(database, stored):
            yield f"I3 {stored.name} of {job_id} has other bytes than its row says"


def _is_whole(database: Database, file: StoredFile) -> bool:
    blobs, digest, size = SqlBlobStore(database), hashlib.sha256(), 0
    for part in file.segments:
        for piece in blobs.read(*part):
            digest.update(piece)
            size += len(piece)
    return (size, digest.hexdigest()) == (file.size, file.sha256)


def moves_are_legal(session: Session, found: dict[str, list[Move]]) -> Iterator[str]:
    """I4: each move starts where the last one ended, and exactly one is the end."""
    for row in session.execute(select(Job.id, Job.status)):
        moves = found.get(row.id, [])
        path = [None, *(move.to for move in moves)]
        if [move.frm for move in moves] != path[:-1] or path[-1] != row.status:
            yield f"I4 {row.id} has a gap in its history: {moves}"
        if any((move.frm, move.to) not in LEGAL for move in moves):
            yield f"I4 {row.id} made a move that there is not: {moves}"
        if sum(move.to in TERMINAL for move in moves) != 1:
            yield f"I4 {row.id} did not end exactly once: {moves}"


def failures_are_explained(session: Session, journal: Journal, db: str) -> Iterator[str]:
    """Every failure has as many faults behind it as it needs."""
    rows = session.execute(
        select(Job.id, Job.error, Job.created_at, Job.finished_at, Job.lost_count).where(
            Job.status == JobStatus.FAILED
        )
    )
    for row in rows:
        code = (row.error or {}).get("code")
        lost = code in {ErrorCode.WORKER_LOST, ErrorCode.STALLED}
        blows = journal.between(DISTURBING, row.created_at, row.finished_at)
        outages = journal.between(_OUTAGES[db], row.created_at, row.finished_at)
        if not (lost and blows >= _LIVES) and not (code == ErrorCode.INTERNAL and outages):
            yield f"{row.id} failed ({row.error}) and {blows} faults do not explain it"


def answers_are_explained(journal: Journal, db: str) -> Iterator[str]:
    """I8: no server error but 503 while the database is away, and no refusal of a good request."""
    for refusal in journal.refusals:
        began = refusal.at - _AFTERMATH_SECONDS
        away = journal.between(_OUTAGES[db], began, refusal.at)
        if refusal.status != _UNAVAILABLE or not away:
            yield f"I8 {refusal.what} was answered with {refusal.status}"


def nothing_is_left(cluster: Cluster, journal: Journal) -> Iterator[str]:
    """I5: no trainer without its supervisor, no workspace of a run that is over."""
    home = cluster.settings.home
    kept = {pid for name in cluster.names for pid in _tree(cluster.process(name).pid)}
    for pid in descendants(home):
        if pid not in kept:
            yield f"I5 process {pid} has outlived its parent"
    yield from files_left(home, journal)


def files_left(home: Path, journal: Journal) -> Iterator[str]:
    """I5: no file of anything that is over.

    A part of an upload may lie where a killed API left it: it is swept when it is an hour old.
    """
    for folder in ("work", "uploads", "tmp"):
        for path in _files(home / folder):
            if folder != "uploads" or not _is_orphan(path, journal):
                yield f"I5 {path} was left behind"


def _tree(pid: int) -> Iterable[int]:
    yield pid
    for child in children(pid):
        yield from _tree(child)


def _is_orphan(path: Path, journal: Journal) -> bool:
    """Tell whether the API was killed soon after a part of an upload was written."""
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:
        return True
    first, last = written - _KILL_SECONDS, written + _UPLOAD_SECONDS
    return journal.between(_API_KILLING, first, last) > 0


def _files(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder, but for what libraries leave when they are killed."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if not path.name.startswith(_OF_LIBRARIES):
            yield path
