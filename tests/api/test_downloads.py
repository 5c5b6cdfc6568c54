"""Downloads: ranges, validators, and bytes that are what their hash says or do not arrive."""

import base64
import hashlib
import random

import pytest
from sqlalchemy import delete, update
from werkzeug.test import TestResponse

from core.blobs import CHUNK_BYTES, BlobCorruptError
from db.blobs import SqlBlobStore
from db.models import BlobChunk, FileSegment
from tests.support.api import Api, Trained, error_of
from tests.support.merchants import Merchant

SEGMENTS = [b"0123456789", b"", b"abcdefghij", b"XYZ"]
WHOLE = b"".join(SEGMENTS)
ETAG = f'"{hashlib.sha256(WHOLE).hexdigest()}"'


@pytest.fixture
def trained(api: Api, acme: Merchant) -> Trained:
    """A model with a file of four segments."""
    return api.trained(acme, {"model.onnx": SEGMENTS, "empty.json": []})


def _get(api: Api, acme: Merchant, trained: Trained, **headers: str) -> TestResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/v1/models/{trained.model_id}/files/model.onnx"
    return api.get(path, acme, headers=names)


def test_a_whole_file(api: Api, acme: Merchant, trained: Trained) -> None:
    """A merchant's model would not be what the worker made, or would run in a browser."""
    response = _get(api, acme, trained)
    assert (response.status_code, response.data) == (200, WHOLE)
    assert response.headers["Content-Length"] == str(len(WHOLE))
    assert response.headers["ETag"] == ETAG
    packed = base64.b64encode(hashlib.sha256(WHOLE).digest()).decode()
    assert response.headers["Digest"] == f"sha-256={packed}"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    name = f"{trained.model_id}-model.onnx"
    assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response.content_type == "application/octet-stream"


def test_head_has_the_headers_alone(api: Api, acme: Merchant, trained: Trained) -> None:
    """A client that plans its ranges would have to download the file first."""
    path = f"/v1/models/{trained.model_id}/files/model.onnx"
    response = api.send("HEAD", path, acme)
    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == str(len(WHOLE))
    assert response.headers["ETag"] == ETAG


def test_ranges(api: Api, acme: Merchant, trained: Trained) -> None:
    """A download that broke off would have to begin again."""
    for asked, start, stop in (
        *(("bytes=0-0", 0, 1), ("bytes=5-14", 5, 15), ("bytes=10-", 10, 23), ("bytes=-4", 19, 23)),
        *(("bytes=-100", 0, 23), ("bytes=22-500", 22, 23), ("bytes=0-22", 0, 23)),
    ):
        response = _get(api, acme, trained, Range=asked)
        assert (asked, response.status_code, response.data) == (asked, 206, WHOLE[start:stop])
        assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(WHOLE)}"
        assert response.headers["Content-Length"] == str(stop - start)


def test_ranges_that_are_ignored(api: Api, acme: Merchant, trained: Trained) -> None:
    """A client that asks oddly would get part of a file and take it for the whole."""
    for asked in ("bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=-", "bytes=a-b", "x"):
        response = _get(api, acme, trained, Range=asked)
        assert (response.status_code, response.data) == (200, WHOLE), asked


def test_ranges_outside_the_file(api: Api, acme: Merchant, trained: Trained) -> None:
    """A resumed download that is already complete would start from the beginning."""
    for asked in ("bytes=23-", "bytes=500-600", "bytes=-0"):
        response = _get(api, acme, trained, Range=asked)
        assert response.status_code == 416
        assert error_of(response)["code"] == "range_not_satisfiable"
        assert response.headers["Content-Range"] == f"bytes */{len(WHOLE)}"


def test_validators(api: Api, acme: Merchant, trained: Trained) -> None:
    """A resumed download would join the halves of two files."""
    for tag in (ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*"):
        response = _get(api, acme, trained, If_None_Match=tag)
        assert (response.status_code, response.data) == (304, b"")
    assert _get(api, acme, trained, If_None_Match='"x"').status_code == 200
    assert _get(api, acme, trained, Range="bytes=1-2", If_Range=ETAG).data == WHOLE[1:3]
    for other in ('"x"', f"W/{ETAG}", "Tue, 24 Nov 2026 06:00:00 GMT"):
        assert _get(api, acme, trained, Range="bytes=1-2", If_Range=other).data == WHOLE


def test_every_range_of_a_file_of_many_chunks(api: Api, acme: Merchant) -> None:
    """The joints between blobs, and between chunks of a blob, would lose or repeat bytes."""
    rng = random.Random(0)
    segments = [rng.randbytes(size) for size in (CHUNK_BYTES + 7, 3, CHUNK_BYTES - 3)]
    whole = b"".join(segments)
    trained = api.trained(acme, {"model.onnx": segments})
    with _get(api, acme, trained) as response:
        assert response.data == whole
    joints = [CHUNK_BYTES - 2, CHUNK_BYTES, CHUNK_BYTES + 7, CHUNK_BYTES + 10, len(whole) - 1]
    for joint in joints:
        for start, stop in ((joint - 3, joint + 3), (0, joint), (joint, len(whole) - 1)):
            with _get(api, acme, trained, Range=f"bytes={start}-{stop}") as response:
                assert response.data == whole[start : stop + 1]


def test_an_empty_file(api: Api, acme: Merchant, trained: Trained) -> None:
    """A file without bytes would be a fault of ours."""
    response = api.get(f"/v1/models/{trained.model_id}/files/empty.json", acme)
    assert (response.status_code, response.data) == (200, b"")


def test_damaged_bytes_are_not_delivered(api: Api, acme: Merchant, trained: Trained) -> None:
    """A flipped bit in the store would become a model that answers wrongly."""
    with api.database.write() as session:
        chunk = session.query(BlobChunk).where(BlobChunk.data == b"##XYZ##").one()
        chunk.data = b"##XyZ##"
    response = _get(api, acme, trained)
    assert response.status_code == 500
    assert error_of(response)["code"] == "artifact_corrupt"
    with api.database.write() as session:
        session.execute(delete(BlobChunk))
    assert error_of(_get(api, acme, trained))["code"] == "artifact_corrupt"


def test_a_large_damaged_file_never_ends(api: Api, acme: Merchant) -> None:
    """A client would take a damaged file for complete, as its length would be right."""
    data = random.Random(1).randbytes(CHUNK_BYTES * 2)
    trained = api.trained(acme, {"model.onnx": [data]})
    with api.database.write() as session:
        chunk = session.query(BlobChunk).where(BlobChunk.seq == 2).one()
        chunk.data = chunk.data[::-1]
    received = _get(api, acme, trained).iter_encoded()
    assert len(next(received)) < len(data)
    with pytest.raises(BlobCorruptError):
        list(received)


def test_a_segment_outside_the_tenant_is_not_read(
    api: Api, acme: Merchant, zenith: Merchant, trained: Trained
) -> None:
    """A wrong row would deliver another merchant's bytes."""
    blobs = SqlBlobStore(api.database)
    for segment in SEGMENTS:
        blobs.put_bytes(zenith.tenant_id, b"##" + segment + b"##")
    with api.database.write() as session:
        session.execute(update(FileSegment).values(scope=zenith.tenant_id))
    assert error_of(_get(api, acme, trained))["code"] == "artifact_corrupt"


def test_names_of_files_are_looked_up(api: Api, acme: Merchant, trained: Trained) -> None:
    """A name from outside would choose a path on the disk or a header of the answer."""
    for name in ("..", "%2e%2e%2fetc%2fpasswd", "model.onnx%00", "a%0d%0aX: y", "x" * 5000, "'"):
        response = api.get(f"/v1/models/{trained.model_id}/files/{name}", acme)
        assert response.status_code == 404
        assert error_of(response)["code"] == "not_found"
