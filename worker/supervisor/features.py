"""Feature packs between this host's cache and the blob store: what one host computed serves all.

A pack that cannot be stored or read costs a forward pass, never the job.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from core.blobs import BlobCorruptError, BlobNotFoundError
from core.logs import logger
from db.lifecycle import features
from db.lifecycle.features import NewPack
from db.models import FeaturePack
from worker.engine.feature_packs import SUFFIX, folder_of, images_of
from worker.engine.files import write_whole
from worker.engine.messages import FeaturesReport
from worker.supervisor.attempt import Attempt

_log = logger(__name__)


def stage(attempt: Attempt, key: str) -> int:
    """Bring stored packs of a key with images of the job to this host; return how many came."""
    folder = folder_of(attempt.station.places.cache(attempt.claim.tenant_id), key)
    count = 0
    try:
        with attempt.station.database.read() as session:
            packs = features.wanted(session, attempt.claim, key)
        for pack in packs:
            attempt.check(finishing=True)
            path = folder / f"{pack.name}{SUFFIX}"
            count += not path.exists() and _is_brought(attempt, pack, path)
    except (OSError, SQLAlchemyError) as error:
        _log.warning("features not fetched", key=key, error=str(error)[:500])
    if count:
        _log.info("features fetched", key=key, packs=count)
    return count


def store(attempt: Attempt, report: FeaturesReport) -> None:
    """Keep what of a run's packs no other host could find yet."""
    folder = folder_of(attempt.station.places.cache(attempt.claim.tenant_id), report.key)
    tenant_id = attempt.claim.tenant_id
    try:
        with attempt.station.database.write() as session:
            features.mark_used(session, tenant_id, report.key, report.packs)
        for name in report.packs:
            _store(attempt, report, folder / f"{name}{SUFFIX}")
    except (OSError, SQLAlchemyError) as error:
        _log.warning("features not stored", key=report.key, error=str(error)[:500])


def _store(attempt: Attempt, report: FeaturesReport, path: Path) -> None:
    station, claim = attempt.station, attempt.claim
    images = images_of(path)
    with station.database.read() as session:
        if not features.has_new(session, claim.tenant_id, report.key, images):
            return
    blob = station.blobs.put_file(claim.tenant_id, path)
    new = NewPack(report.key, report.backbone, path.stem, blob.sha256, blob.size, images)
    with station.database.write() as session:
        kept = features.keep(session, claim, new, station.settings.feature_bytes)
    _log.info("features stored", key=report.key, images=len(images), bytes=blob.size, kept=kept)


def _is_brought(attempt: Attempt, pack: FeaturePack, path: Path) -> bool:
    """Copy a pack to this host; forget one that is damaged, whose images are computed again."""
    try:
        write_whole(path, _checked(attempt, pack))
    except (BlobCorruptError, BlobNotFoundError):
        attempt.heart.note("warn", "Stored features were damaged: they are computed again.", {})
        with attempt.station.database.write() as session:
            features.drop(session, [pack.id])
        return False
    return True


def _checked(attempt: Attempt, pack: FeaturePack) -> Iterator[bytes]:
    """Yield a pack's bytes; raises `BlobCorruptError` at the end where they are others."""
    digest = hashlib.sha256()
    for chunk in attempt.station.blobs.read(pack.tenant_id, pack.sha256):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != pack.sha256:
        raise BlobCorruptError(pack.sha256)
