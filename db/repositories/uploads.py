"""Files that come in parts: begun, filled part by part, completed, and taken by a dataset.

The same file begun again is the same upload while that lives: this is how a client goes on after
it was restarted.
"""

from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.blobs import BlobInfo
from core.refusals import ConflictError, InvalidError, RefusedError
from db.base import now
from db.models import Upload, UploadPart
from db.repositories import quotas
from db.repositories.reading import get
from db.tenancy import scoped
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from regraft.contract.uploads import PART_BYTES, UploadRequest

KEPT_SECONDS = 24 * 3600.0
_RESERVED_SECONDS = 3600.0


class Shown(NamedTuple):
    """An upload and the parts that have come, by number."""

    upload: Upload
    parts: list[UploadPart]

    @property
    def num_parts(self) -> int:
        """How many parts the whole file has."""
        return -(-self.upload.size // PART_BYTES)

    def size_of(self, number: int) -> int:
        """Return how many bytes a part must have; raises `InvalidError` for no part's number."""
        if not 1 <= number <= self.num_parts:
            raise InvalidError("number", f"must be from 1 to {self.num_parts}")
        return min(PART_BYTES, self.upload.size - (number - 1) * PART_BYTES)


def begin(session: Session, tenant_id: str, wanted: UploadRequest) -> Shown:
    """Reserve the bytes of a file, or return the upload of the same file that lives.

    Raises `QuotaError` where the tenant may not store so many.
    """
    same = scoped(Upload, tenant_id).where(
        Upload.sha256 == wanted.sha256, Upload.size == wanted.bytes, Upload.expires_at > now()
    )
    known = session.scalar(same.order_by(Upload.id).limit(1))
    if known is not None:
        return _with_parts(session, known)
    quotas.hold_bytes(session, tenant_id, wanted.bytes)
    upload = Upload(
        id=new_id("up"),
        tenant_id=tenant_id,
        size=wanted.bytes,
        sha256=wanted.sha256,
        expires_at=now() + KEPT_SECONDS,
    )
    session.add(upload)
    session.flush()
    return _with_parts(session, upload)


def find(session: Session, tenant_id: str, upload_id: str, *, param: str | None = None) -> Shown:
    """Return an upload that has not expired; raises `NotFoundError`."""
    query = scoped(Upload, tenant_id).where(Upload.id == upload_id, Upload.expires_at > now())
    return _with_parts(session, get(session, query, "upload", param=param))


def keep(session: Session, tenant_id: str, upload_id: str, number: int, part: BlobInfo) -> Shown:
    """Note a part whose blob is stored; one that came before is replaced.

    Raises `NotFoundError`, or `ConflictError` where the upload is complete.
    """
    found = find(session, tenant_id, upload_id)
    if found.upload.completed_at is not None:
        raise ConflictError("The upload is complete; it takes no further part.")
    known = next((one for one in found.parts if one.number == number), None)
    if known is None:
        known = UploadPart(upload_id=upload_id, number=number, tenant_id=tenant_id)
        session.add(known)
    known.size, known.sha256 = part.size, part.sha256
    session.flush()
    return _with_parts(session, found.upload)


def complete(
    session: Session, tenant_id: str, upload_id: str, num_classes: int | None = None
) -> Shown:
    """Mark an upload whose file is the tenant's blob by now; its parts are needed no more."""
    found = find(session, tenant_id, upload_id)
    session.execute(delete(UploadPart).where(UploadPart.upload_id == upload_id))
    found.upload.num_classes = num_classes
    found.upload.completed_at = session.scalar(select(now()))
    session.flush()
    session.expire_all()
    return find(session, tenant_id, upload_id)


def take(session: Session, tenant_id: str, upload_id: str, *, least_classes: int = 0) -> BlobInfo:
    """Return the file of a complete upload, which is no upload any more.

    Raises `NotFoundError`, `ConflictError` for one that is not complete, or `RefusedError` where
    it is known to hold fewer classes, but some.
    """
    upload = find(session, tenant_id, upload_id, param="upload").upload
    if upload.completed_at is None:
        raise ConflictError("The upload is not complete.", "upload")
    if 0 < (upload.num_classes or 0) < least_classes:
        message = "The upload holds one class only: a new dataset needs two."
        raise RefusedError(ErrorCode.TOO_FEW_CLASSES, message, "upload")
    session.execute(delete(Upload).where(Upload.id == upload_id))
    return BlobInfo(upload.sha256, upload.size)


def reserve(session: Session, tenant_id: str, size: int) -> str | None:
    """Hold bytes for a file that comes in one piece; None where the tenant has no quota.

    Raises `QuotaError`. Give them back with `release`; a killed process's are in an hour.
    """
    if not quotas.hold_bytes(session, tenant_id, size):
        return None
    until = now() + _RESERVED_SECONDS
    row = Upload(id=new_id("up"), tenant_id=tenant_id, size=size, sha256="", expires_at=until)
    session.add(row)
    session.flush()
    return row.id


def release(session: Session, upload_id: str) -> None:
    """Give reserved bytes back."""
    session.execute(delete(Upload).where(Upload.id == upload_id))


def _with_parts(session: Session, upload: Upload) -> Shown:
    query = scoped(UploadPart, upload.tenant_id).where(UploadPart.upload_id == upload.id)
    return Shown(upload, list(session.scalars(query.order_by(UploadPart.number))))
