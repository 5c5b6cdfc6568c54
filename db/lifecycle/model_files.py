"""Taking files from a model: which blobs of its tenant's they consist of, and their rows."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.lifecycle import drift
from db.lifecycle.guard import changed
from db.models import FileSegment, Model, ModelFile


def consists_of(session: Session, model: Model, names: Sequence[str] | None) -> list[str]:
    """Return the hashes of what files consist of, all of the model's without `names`."""
    own = (FileSegment.model_id == model.id) & (FileSegment.scope == model.tenant_id)
    if names is not None:
        own &= FileSegment.file_name.in_(names)
    return list(session.scalars(select(FileSegment.blob_sha256).where(own).distinct()))


def strip(session: Session, model_id: str, names: Sequence[str] | None) -> int:
    """Take files from a model and return how many; the sweep takes bytes that nobody shares.

    With all of its files goes what is known of its traffic.
    """
    segments, files = FileSegment.model_id == model_id, ModelFile.model_id == model_id
    if names is not None:
        segments &= FileSegment.file_name.in_(names)
        files &= ModelFile.name.in_(names)
    else:
        drift.drop(session, model_id)
    changed(session, delete(FileSegment).where(segments))
    return changed(session, delete(ModelFile).where(files))
