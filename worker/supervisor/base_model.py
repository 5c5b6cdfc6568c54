"""Models that a job works with: their weights, composed of their blobs once for each host."""

import hashlib
import os
import tempfile
from pathlib import Path

from core.blobs import BlobCorruptError, BlobNotFoundError
from core.logs import logger
from core.refusals import NotFoundError
from db.repositories import aliases, models
from db.repositories.models import StoredFile
from db.repositories.submissions import LABELS_FILE, WEIGHTS_FILE
from regraft.contract import held_out
from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from worker.engine.runspec import BaseModelFile, FinishedFiles
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.outcome import InterruptedRunError
from worker.supervisor.publish import hash_of


def base_model(attempt: Attempt, model_id: str, param: str = "base.model") -> BaseModelFile:
    """Return a model's backbone and its weights as a local file, their hash verified.

    `param` is the field of the job's spec that names it.
    """
    tenant_id = attempt.claim.tenant_id
    try:
        with attempt.station.database.read() as session:
            model = models.show(session, tenant_id, model_id).model
            file = models.stored_file(session, tenant_id, model_id, WEIGHTS_FILE)
    except NotFoundError as error:
        message = f"The model is there no more: {model_id}."
        failed = outcome.failed(attempt.claim, ErrorCode.NOT_FOUND, message, param)
        raise InterruptedRunError(failed) from error
    return BaseModelFile(backbone=model.backbone, weights=_local(attempt, file))


def finished_files(attempt: Attempt, model_id: str) -> FinishedFiles:
    """Return what else a run that extends a model reads of it, as far as it was kept.

    Its datasets are added by whoever writes packs (`materialise`).
    """
    found: dict[str, Path] = {}
    for field, name in (("metrics", "metrics.json"), ("predictions", held_out.FILE_NAME)):
        with attempt.station.database.read() as session:
            file = models.file_if_any(session, attempt.claim.tenant_id, model_id, name)
        if file is not None:
            found[field] = attempt.workspace / f"finished-{name}"
            _compose(attempt, file, found[field])
    return FinishedFiles(**found)


def live_model(attempt: Attempt) -> BaseModelFile | None:
    """Return the model in production under the job's name; None where it cannot be had.

    It is only compared with: what is wrong with it is logged, and is no fault of the job's.
    """
    tenant_id, name = attempt.claim.tenant_id, attempt.claim.register_as or "model"
    with attempt.station.database.read() as session:
        model = aliases.live_model(session, tenant_id, name)
        if model is None or model.backbone not in BACKBONES:
            return None
        file = models.file_if_any(session, tenant_id, model.id, WEIGHTS_FILE)
    if file is None:
        return None
    try:
        return BaseModelFile(backbone=model.backbone, weights=_local(attempt, file))
    except (BlobCorruptError, BlobNotFoundError):
        logger(__name__).exception("the live model cannot be read", model=model.id)
        return None


def labels_of(attempt: Attempt, model_id: str) -> Path:
    """Write a model's labels and thresholds to the workspace, their hash verified."""
    with attempt.station.database.read() as session:
        file = models.stored_file(session, attempt.claim.tenant_id, model_id, LABELS_FILE)
    path = attempt.workspace / LABELS_FILE
    _compose(attempt, file, path)
    return path


def _local(attempt: Attempt, file: StoredFile) -> Path:
    """Return where a file lies on this host, put there first where it is missing or damaged."""
    cache = attempt.station.places.cache(attempt.claim.tenant_id)
    path = cache / "models" / f"{file.sha256}.safetensors"
    if not (attempt.hold(path) and _is_whole(path, file)):
        _compose(attempt, file, path)
        attempt.hold(path)
    return path


def _is_whole(path: Path, file: StoredFile) -> bool:
    return path.is_file() and hash_of(path, path.stat().st_size) == file.sha256


def _compose(attempt: Attempt, file: StoredFile, path: Path) -> None:
    """Write the file's segments end to end; it appears at once, and only if it is what it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    opened, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    digest = hashlib.sha256()
    try:
        with os.fdopen(opened, "wb") as out:
            for part in file.segments:
                attempt.check()
                blobs = attempt.station.blobs
                for chunk in blobs.read(part.scope, part.sha256, part.offset, part.length):
                    digest.update(chunk)
                    out.write(chunk)
        if digest.hexdigest() != file.sha256:
            raise BlobCorruptError(file.sha256)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
