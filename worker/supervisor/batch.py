"""Kind `batch`: let the trainer answer about a dataset, keep each part, make one file of them.

A part that is kept is never made again, whichever worker goes on.
"""

import hashlib
import json
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from core.logs import logger
from core.refusals import QuotaError
from db.lifecycle import answers
from db.lifecycle.answers import NewPart
from db.lifecycle.finish import Answered as Whole
from db.models import BatchPart, Image
from db.repositories import quotas
from regraft.contract.batch import BatchSpec
from regraft.contract.errors import ErrorCode
from worker.engine.batch_rows import Asked, write_asked
from worker.engine.messages import Answered, Batch, Done, FromTrainer, PartReport
from worker.engine.runspec import BatchRun, DataSource
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.base_model import base_model, labels_of
from worker.supervisor.conversation import Conversation
from worker.supervisor.materialise import pack_of, surroundings
from worker.supervisor.outcome import InterruptedRunError, Outcome
from worker.supervisor.publish import hash_of

ROWS_PER_PART = 1000
_AT_ONCE = 5000
_log = logger(__name__)


def answer(attempt: Attempt) -> Outcome:
    """Run one batch to its end."""
    return _Answering(attempt, Batch(spec=_batch_run(attempt))).run()


class _Answering(Conversation[PartReport]):
    """The conversation about one batch."""

    def __init__(self, attempt: Attempt, order: Batch) -> None:
        self._over_quota: str | None = None
        super().__init__(attempt, order, self._store)

    def _keep(self, message: FromTrainer) -> None:
        if self._over_quota is not None:
            raise InterruptedRunError(self._refused(self._over_quota))
        if isinstance(message, PartReport):
            self._keeper.keep(message)

    def _done(self, done: Done | Answered) -> Outcome:
        attempt = self._attempt
        if self._over_quota is not None:
            return self._refused(self._over_quota)
        with attempt.station.database.read() as session:
            parts = answers.parts(session, attempt.claim.job_id)
        expected = done.num_parts if isinstance(done, Answered) else 0
        if expected == 0 or [part.seq for part in parts] != list(range(expected)):
            message = f"Of the {expected} parts of the answers {len(parts)} were stored."
            return outcome.retried(attempt.claim, attempt.station.settings, message)
        return outcome.answered(attempt.claim, _whole(attempt, parts))

    def _refused(self, message: str) -> Outcome:
        return outcome.failed(self._attempt.claim, ErrorCode.QUOTA_EXCEEDED, message)

    def _store(self, report: PartReport) -> None:
        try:
            _store(self._attempt, report)
        except QuotaError as error:
            self._over_quota = error.message
        except (OSError, SQLAlchemyError) as error:
            _log.warning("part not stored", seq=report.seq, error=str(error)[:500])


def _batch_run(attempt: Attempt) -> BatchRun:
    """Bring everything that the run needs to this host, and say where it lies."""
    claim = attempt.claim
    spec = BatchSpec.model_validate_json(json.dumps(claim.spec))
    rows = attempt.workspace / "rows.jsonl"
    write_asked(rows, _asked(attempt))
    with attempt.station.database.read() as session:
        done = answers.num_whole(session, claim.job_id)
    if done:
        attempt.heart.note("info", f"Going on behind part {done}.", {"parts": done})
    return BatchRun(
        model=base_model(attempt, spec.model, "model"),
        labels=labels_of(attempt, spec.model),
        data=DataSource(pack=pack_of(attempt, claim.dataset_id)),
        rows=rows,
        format=spec.format,
        top=spec.top,
        rows_per_part=ROWS_PER_PART,
        parts_done=done,
        **surroundings(attempt),
    )


def _asked(attempt: Attempt) -> Iterator[Asked]:
    """Yield every image of the dataset in its order, those too that the upload refused."""
    mine = (Image.tenant_id == attempt.claim.tenant_id) & (
        Image.dataset_id == attempt.claim.dataset_id
    )
    last = -1
    while True:
        query = select(Image).where(mine, Image.seq > last).order_by(Image.seq).limit(_AT_ONCE)
        with attempt.station.database.read() as session:
            found = session.scalars(query).all()
        if not found:
            return
        for row in found:
            product = row.product_group
            yield Asked(row.id, row.path, product, row.sha256, row.verdict, row.message)
        last = found[-1].seq
        attempt.check()


def _store(attempt: Attempt, report: PartReport) -> None:
    """Keep a part that the trainer wrote, if it is what was said of it.

    Raises `QuotaError` where the merchant may not store as much.
    """
    station, claim = attempt.station, attempt.claim
    with station.database.read() as session:
        quotas.admit_bytes(session, claim.tenant_id, report.size)
    whole = hash_of(report.path, report.size) == report.sha256
    stored = station.blobs.put_file(claim.tenant_id, report.path) if whole else None
    if stored != (report.sha256, report.size):
        attempt.heart.note("warn", "A part of the answers was damaged and is not kept.", {})
        return
    counts = (report.num_rows, report.num_errors)
    new = NewPart(report.seq, report.sha256, report.size, *counts)
    with station.database.write() as session:
        kept = answers.keep(session, claim, new)
    report.path.unlink(missing_ok=True)
    _log.info("part", seq=report.seq, bytes=report.size, kept=kept)


def _whole(attempt: Attempt, parts: list[BatchPart]) -> Whole:
    """Return the size and hash of the parts end to end, and what they count together."""
    digest = hashlib.sha256()
    for part in parts:
        for chunk in attempt.station.blobs.read(attempt.claim.tenant_id, part.sha256):
            digest.update(chunk)
        attempt.check(finishing=True)
    return Whole(
        size=sum(part.size for part in parts),
        sha256=digest.hexdigest(),
        num_rows=sum(part.num_rows for part in parts),
        num_errors=sum(part.num_errors for part in parts),
    )
