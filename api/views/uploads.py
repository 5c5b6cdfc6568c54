"""Resumable uploads: begin, send parts in any order and as often as it takes, complete."""

from api import parts, shown
from api.routing import Call, Routes
from core.refusals import NotFoundError, RefusedError
from db.repositories import uploads
from regraft.contract.errors import ErrorCode
from regraft.contract.uploads import Upload, UploadRequest

routes = Routes()
_CONTAINER_ERRORS = (
    ErrorCode.DATASET_INVALID,
    ErrorCode.UNSAFE_PATH,
    ErrorCode.UNSAFE_ENTRY,
    ErrorCode.TOO_MANY_ENTRIES,
    ErrorCode.TOO_MANY_CLASSES,
    ErrorCode.TOO_FEW_CLASSES,
    ErrorCode.TOO_LARGE_UNCOMPRESSED,
)
_MOST_DIGITS = 6


@routes.add(
    "POST",
    "/v1/uploads",
    Upload,
    scope="write",
    status=201,
    errors=(ErrorCode.PAYLOAD_TOO_LARGE, ErrorCode.QUOTA_EXCEEDED, ErrorCode.STORAGE_FULL),
)
def begin_upload(call: Call, body: UploadRequest) -> Upload:
    """Begin to send a file in parts, or find what is there of one that was begun before."""
    most = call.services.settings.uploads.max_bytes
    if body.bytes > most:
        message = f"The file is larger than {most} bytes."
        raise RefusedError(ErrorCode.PAYLOAD_TOO_LARGE, message, "bytes")
    with call.database.write() as session:
        return shown.upload(uploads.begin(session, call.tenant_id, body))


@routes.add("GET", "/v1/uploads/{upload_id}", Upload)
def show_upload(call: Call, upload_id: str) -> Upload:
    """Show an upload and the parts that have come."""
    with call.database.read() as session:
        return shown.upload(uploads.find(session, call.tenant_id, upload_id))


@routes.add(
    "PUT",
    "/v1/uploads/{upload_id}/parts/{number}",
    Upload,
    scope="write",
    errors=(
        ErrorCode.CONFLICT,
        ErrorCode.INCOMPLETE_BODY,
        ErrorCode.REQUEST_TIMEOUT,
        ErrorCode.PAYLOAD_TOO_LARGE,
        ErrorCode.UNSUPPORTED_MEDIA_TYPE,
        ErrorCode.STORAGE_FULL,
    ),
    takes=parts.MEDIA_TYPE,
    headers={
        "Content-Digest": "RFC 9530: `sha-256=:…:` or `sha-512=:…:` of the part, checked.",
        "X-Content-SHA256": "The hash of the part in hex, checked.",
    },
)
def put_part(call: Call, upload_id: str, number: str) -> Upload:
    """Send one part; sent again it replaces what came."""
    if not (number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS):
        raise NotFoundError("upload")
    with call.database.read() as session:
        size = uploads.find(session, call.tenant_id, upload_id).size_of(int(number))
    part = parts.received(call, size)
    with call.database.write() as session:
        kept = uploads.keep(session, call.tenant_id, upload_id, int(number), part)
        return shown.upload(kept)


@routes.add(
    "POST",
    "/v1/uploads/{upload_id}/complete",
    Upload,
    scope="write",
    errors=(ErrorCode.CONFLICT, *_CONTAINER_ERRORS, ErrorCode.STORAGE_FULL),
)
def complete_upload(call: Call, upload_id: str) -> Upload:
    """Check the whole file, and keep it for a dataset; twice changes nothing."""
    with call.database.read() as session:
        found = uploads.find(session, call.tenant_id, upload_id)
    if found.upload.completed_at is not None:
        return shown.upload(found)
    num_classes = parts.assembled(call, found)
    with call.database.write() as session:
        done = uploads.complete(session, call.tenant_id, upload_id, num_classes)
        return shown.upload(done)
