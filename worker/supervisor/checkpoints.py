"""Checkpoints between the trainer's workspace and the database: stored as they come, found again.

A checkpoint that cannot be stored or read costs progress, never the job.
"""

import hashlib
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core.blobs import BlobNotFoundError
from core.logs import logger
from db.lifecycle import checkpoints
from db.lifecycle.checkpoints import NewCheckpoint
from db.models import JobCheckpoint
from worker.engine.messages import CheckpointReport
from worker.supervisor.attempt import Attempt
from worker.supervisor.publish import hash_of

_NAME = "resume.checkpoint"
_log = logger(__name__)


def store(attempt: Attempt, report: CheckpointReport) -> None:
    """Keep a checkpoint that the trainer wrote, if it is what was said of it."""
    station, claim = attempt.station, attempt.claim
    try:
        whole = hash_of(report.path, report.size) == report.sha256
        stored = station.blobs.put_file(claim.tenant_id, report.path) if whole else None
        if stored != (report.sha256, report.size):
            attempt.heart.note("warn", "A checkpoint was damaged and is not kept.", {})
            return
        new = NewCheckpoint(report.step, report.epoch, report.sha256, report.size)
        with station.database.write() as session:
            kept = checkpoints.keep(session, claim, new)
    except (OSError, SQLAlchemyError) as error:
        _log.warning("checkpoint not stored", step=report.step, error=str(error)[:500])
    else:
        _log.info("checkpoint", step=report.step, bytes=report.size, kept=kept)


def restored(attempt: Attempt) -> Path | None:
    """Write the newest checkpoint that is whole to the workspace; None to start anew."""
    with attempt.station.database.read() as session:
        found = checkpoints.newest_first(session, attempt.claim.job_id)
    for row in found:
        attempt.check()
        target = attempt.workspace / _NAME
        if _is_written(attempt, row, target):
            data: dict[str, object] = {"step": row.step, "epoch": row.epoch}
            attempt.heart.note("info", f"Going on from the checkpoint at step {row.step}.", data)
            return target
        attempt.heart.note("warn", f"The checkpoint at step {row.step} is damaged.", {})
    if found:
        attempt.heart.note("warn", "No checkpoint is whole: training starts anew.", {})
    return None


def _is_written(attempt: Attempt, row: JobCheckpoint, target: Path) -> bool:
    """Copy the bytes to a file and tell whether they are the ones that were stored."""
    digest = hashlib.sha256()
    try:
        with target.open("wb") as out:
            for chunk in attempt.station.blobs.read(row.tenant_id, row.sha256):
                digest.update(chunk)
                out.write(chunk)
    except BlobNotFoundError:
        return False
    return digest.hexdigest() == row.sha256
