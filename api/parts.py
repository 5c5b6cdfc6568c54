"""Parts of an upload from the connection to blobs, and from blobs to one checked file.

No database session is held while bytes flow.
"""

import hashlib
import tempfile
from pathlib import Path

from flask import request

from api import digests
from api.bodies import pieces
from api.routing import Call
from core.blobs import BlobInfo
from core.container import labels_of
from core.refusals import ConflictError, InvalidError, RefusedError
from db.repositories.uploads import Shown
from regraft.contract.errors import ErrorCode

MEDIA_TYPE = "application/octet-stream"


def received(call: Call, size: int) -> BlobInfo:
    """Store the body, which must have `size` bytes and the hashes that the headers name.

    Raises `unsupported_media_type`, `validation_failed` for another size or hash, and what
    reading a body raises.
    """
    if request.mimetype != MEDIA_TYPE or request.content_encoding:
        raise RefusedError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, f"This route takes `{MEDIA_TYPE}`.")
    hashes = digests.asked_for()
    digest = hashlib.sha256()
    data = bytearray()
    for piece in pieces(size):
        for one in (digest, *hashes.values()):
            one.update(piece)
        data += piece
    if len(data) != size:
        raise InvalidError("bytes", f"must be {size} for this part; {len(data)} came")
    digests.check_body(hashes)
    digests.check_file(digest.hexdigest())
    return call.blobs.put_bytes(call.tenant_id, bytes(data))


def assembled(call: Call, found: Shown) -> int:
    """Join the parts, check the file as an upload in one piece is checked, and store it.

    Return the number of its classes: one is enough for a version that adds to others.
    Raises `conflict` where parts are missing, `validation_failed` where the whole has another
    hash than was said, and what `core.container.labels_of` raises.
    """
    missing = sorted(set(range(1, found.num_parts + 1)) - {part.number for part in found.parts})
    if missing:
        raise ConflictError(f"Parts are missing: {', '.join(map(str, missing[:10]))}.")
    call.services.uploads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=call.services.uploads) as folder:
        path = Path(folder) / "upload"
        digest = hashlib.sha256()
        with path.open("wb") as target:
            for part in found.parts:
                for chunk in call.blobs.read(call.tenant_id, part.sha256):
                    digest.update(chunk)
                    target.write(chunk)
        if digest.hexdigest() != found.upload.sha256:
            message = "is not the SHA-256 of what came: begin again with the right one"
            raise InvalidError("sha256", message, "checksum_mismatch")
        labels = labels_of(path, call.services.settings.uploads, least_classes=1)
        call.blobs.put_file(call.tenant_id, path)
        return len(labels)
