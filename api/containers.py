"""An uploaded container from the connection to the blob store: bytes reserved, checked, stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from flask import request

from api import uploads
from api.routing import Call
from api.uploads import Form, Upload
from core.blobs import BlobInfo
from core.container import labels_of
from db.repositories import quotas
from db.repositories import uploads as reservations
from regraft.contract.errors import ErrorCode

ERRORS = (
    ErrorCode.INVALID_MULTIPART,
    ErrorCode.INCOMPLETE_BODY,
    ErrorCode.REQUEST_TIMEOUT,
    ErrorCode.PAYLOAD_TOO_LARGE,
    ErrorCode.TOO_LARGE_UNCOMPRESSED,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.DATASET_INVALID,
    ErrorCode.UNSAFE_PATH,
    ErrorCode.UNSAFE_ENTRY,
    ErrorCode.TOO_MANY_ENTRIES,
    ErrorCode.TOO_MANY_CLASSES,
    ErrorCode.TOO_FEW_CLASSES,
    ErrorCode.QUOTA_EXCEEDED,
    ErrorCode.STORAGE_FULL,
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
)
HEADERS = {
    "Content-Digest": "RFC 9530: `sha-256=:…:` or `sha-512=:…:` of the whole body, checked.",
    "X-Content-SHA256": "The hash of the file in hex, checked.",
}


class Stored(NamedTuple):
    """A container in the tenant's scope, and its classes; a parquet file's are not known yet."""

    container: BlobInfo
    labels: tuple[str, ...]


@contextmanager
def received(call: Call, form: Form) -> Iterator[Upload]:
    """Receive a form, its bytes held of the merchant's quota; the file goes with the block.

    Raises `QuotaError` before a byte is read, and what `api.uploads.received` raises.
    """
    with call.database.write() as session:
        held = reservations.reserve(session, call.tenant_id, request.content_length or 0)
    try:
        with uploads.received(call.services, form) as upload:
            yield upload
    finally:
        if held is not None:
            with call.database.write() as session:
                reservations.release(session, held)


def stored(call: Call, upload: Upload, least_classes: int = 2) -> Stored:
    """Check and store a container; what came in chunks, unannounced, is admitted here."""
    labels = labels_of(upload.path, call.services.settings.uploads, least_classes)
    if request.content_length is None:
        with call.database.read() as session:
            quotas.admit_bytes(session, call.tenant_id, upload.size)
    return Stored(call.blobs.put_file(call.tenant_id, upload.path), labels)
