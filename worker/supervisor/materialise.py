"""From rows and blobs to local files: a dataset as a pack, and the spec of one run.

A pack is written once for each dataset and host, every image checked against its hash.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import select

from core.blobs import BlobCorruptError, BlobNotFoundError
from db.models import Image
from db.repositories import submissions
from regraft.contract.job import FromModel, JobSpec
from regraft.contract.verdict import KEPT
from worker.engine.packs import PACK_SUFFIX, NewImage, index_path, read_index, write_pack
from worker.engine.runspec import DataSource, FinishedFiles, RunSpec, extends
from worker.supervisor.attempt import Attempt
from worker.supervisor.base_model import base_model, finished_files, live_model
from worker.supervisor.checkpoints import restored

_PACK = f"images{PACK_SUFFIX}"


def run_spec(attempt: Attempt) -> RunSpec:
    """Bring everything that the run needs to this host, and say where it lies."""
    claim = attempt.claim
    spec = JobSpec.model_validate_json(json.dumps(claim.spec))
    base = spec.base

    def data(dataset_id: str | None) -> DataSource | None:
        return None if dataset_id is None else DataSource(pack=pack_of(attempt, dataset_id))

    return RunSpec(
        name=claim.register_as or "model",
        job=claim.job_id,
        spec=spec,
        data=DataSource(pack=pack_of(attempt, claim.dataset_id)),
        test_data=data(spec.test_dataset),
        source_data=data(spec.source_dataset),
        unlabelled_data=data(spec.unlabelled_dataset),
        base_model=base_model(attempt, base.model) if isinstance(base, FromModel) else None,
        finished=_finished(attempt, base.model)
        if isinstance(base, FromModel) and extends(spec)
        else None,
        live_model=live_model(attempt),
        resume_from=restored(attempt),
        **surroundings(attempt),
    )


def surroundings(attempt: Attempt) -> dict[str, Any]:
    """Return the fields of `worker.engine.runspec.Surroundings` for this attempt."""
    claim, station = attempt.claim, attempt.station
    return {
        "run": f"{claim.job_id}.{claim.fence}",
        "workspace": attempt.workspace,
        "cache": station.places.cache(claim.tenant_id),
        "shared_cache": station.places.shared_cache(),
        "weights_dir": station.settings.weights_dir,
        "num_threads": station.settings.trainer_threads,
        "runtime": station.settings.runtime,
        "stages_features": True,
    }


def _finished(attempt: Attempt, model_id: str) -> FinishedFiles:
    """Return the files of a model to extend, and its datasets; one that is erased is left out."""
    with attempt.station.database.read() as session:
        named = submissions.learned_from(session, attempt.claim.tenant_id, model_id)
    packs = []
    for dataset_id in named:
        with contextlib.suppress(BlobNotFoundError):
            packs.append(DataSource(pack=pack_of(attempt, dataset_id)))
    return finished_files(attempt, model_id).model_copy(update={"data": packs})


def pack_of(attempt: Attempt, dataset_id: str) -> Path:
    """Return the pack of one of the tenant's datasets, written first where it is missing."""
    folder = attempt.station.places.cache(attempt.claim.tenant_id) / "packs" / dataset_id
    pack = folder / _PACK
    if attempt.hold(folder) and _is_whole(pack):
        return pack
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{dataset_id}.", dir=folder.parent))
    try:
        write_pack(made / _PACK, _images(attempt, dataset_id))
        # Another worker of this host may have been faster: its pack is the same.
        with contextlib.suppress(OSError):
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    attempt.hold(folder)
    return pack


def _is_whole(pack: Path) -> bool:
    """Tell whether a cached pack is complete; a crash of the host can cut a file short."""
    if not index_path(pack).is_file() or not pack.is_file():
        return False
    try:
        rows = read_index(pack)
    except ValueError:
        return False
    return pack.stat().st_size == sum(row.length for row in rows)


def _images(attempt: Attempt, dataset_id: str) -> Iterator[NewImage]:
    kept = (
        select(Image)
        .where(Image.tenant_id == attempt.claim.tenant_id, Image.dataset_id == dataset_id)
        .where(Image.verdict.in_(KEPT), Image.sha256.is_not(None))
        .order_by(Image.seq)
    )
    with attempt.station.database.read() as session:
        images = session.scalars(kept).all()
    for image in images:
        attempt.check()
        sha256 = str(image.sha256)
        yield NewImage(
            sha256=sha256,
            name=image.path,
            label=image.label,
            group=image.product_group,
            split=image.split,
            chunks=_checked(attempt, sha256),
        )


def _checked(attempt: Attempt, sha256: str) -> Iterator[bytes]:
    digest = hashlib.sha256()
    for chunk in attempt.station.blobs.read(attempt.claim.tenant_id, sha256):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sha256:
        raise BlobCorruptError(sha256)
