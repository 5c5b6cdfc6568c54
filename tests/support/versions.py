"""Versions of datasets for the tests, made and checked as the service does."""

import io
import zipfile
from collections.abc import Mapping

from sqlalchemy import select

from core.settings import UploadLimits
from db.blobs import SqlBlobStore
from db.models import Dataset, Image, Job
from db.repositories import versions
from db.repositories.audit import OPERATOR
from db.repositories.versions import Changes, NewVersion
from db.session import Database
from tests.support.jobs import job
from tests.support.merchants import Merchant
from worker.station import Station
from worker.supervisor.supervise import supervise


def version(
    station: Station,
    merchant: Merchant,
    parent: str,
    changes: Changes,
    files: Mapping[str, bytes] | None = None,
) -> Dataset:
    """Make a version, check it, and return it."""
    container = None
    if files is not None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        blobs = SqlBlobStore(station.database)
        container = blobs.put_bytes(merchant.tenant_id, packed.getvalue())
    new = NewVersion(changes, container, (), None, None)
    with station.database.write() as session:
        made = versions.create(
            session, merchant.tenant_id, parent, new, OPERATOR, limits=UploadLimits()
        )
        job_id = session.scalars(select(Job.id).where(Job.dataset_id == made.id)).one()
    supervise(station, job_id)
    assert job(station.database, job_id).status == "succeeded"
    with station.database.read() as session:
        return session.get_one(Dataset, made.id)


def images(database: Database, dataset: str) -> list[Image]:
    """Return a dataset's images in their order."""
    query = select(Image).where(Image.dataset_id == dataset).order_by(Image.seq)
    with database.read() as session:
        return list(session.scalars(query))
