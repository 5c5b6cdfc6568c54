"""A download that holds a place for as long as its bytes flow, and the headers that it heeds."""

from functools import partial

from flask import Response

from api.downloads import OCTETS, PIECE_BYTES, download
from api.routing import Call
from db.repositories.models import StoredFile

HEADERS = {
    "Range": "One range of bytes, such as `bytes=0-1023` or `bytes=-512`.",
    "If-Range": "An ETag: the range is served only if the file is still that one.",
    "If-None-Match": "An ETag: 304 if the file is still that one.",
}


def download_in_turn(call: Call, stored: StoredFile, kind: str = OCTETS) -> Response:
    """Return a file; one that takes more than a piece takes a place among the downloads.

    Raises `unavailable` where none is free, and what `download` raises.
    """
    if stored.size <= PIECE_BYTES:
        return download(call.blobs, stored, kind)
    gate = call.services.gates.downloads
    gate.enter(call.tenant_id)
    try:
        response = download(call.blobs, stored, kind)
    except BaseException:
        gate.leave(call.tenant_id)
        raise
    response.call_on_close(partial(gate.leave, call.tenant_id))
    return response
