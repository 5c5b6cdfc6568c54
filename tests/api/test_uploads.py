"""Uploads as forms: parts that are missing, repeated, unknown, cut off or too many."""

import base64
import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import uploads
from api.services import NAME, Services
from core.settings import Settings, UploadLimits
from db.session import Database
from tests.support.api import Api, error_of, zipped
from tests.support.merchants import Merchant

BOUNDARY = "multipart/form-data; boundary=xx"
ZIP = zipped()


def _part(name: str, data: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    head = f'--xx\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + data + b"\r\n"


FILE = _part("file", ZIP, "set.zip")
NAMED = _part("name", b"set")
END = b"--xx--\r\n"
BAD = {
    "no file": (NAMED + END, 422, "validation_failed", "file"),
    "no name": (FILE + END, 422, "validation_failed", "name"),
    "blank name": (FILE + _part("name", b"  ") + END, 422, "validation_failed", "name"),
    "name of bytes": (FILE + _part("name", b"\xff") + END, 422, "validation_failed", "name"),
    "two files": (FILE + FILE + NAMED + END, 422, "validation_failed", "file"),
    "two names": (FILE + NAMED + NAMED + END, 422, "validation_failed", "name"),
    "file as text": (_part("file", b"x") + NAMED + END, 422, "validation_failed", "file"),
    "other file": (FILE + _part("x", b"x", "x") + NAMED + END, 422, "validation_failed", "x"),
    "other field": (FILE + NAMED + _part("x", b"1") + END, 422, "validation_failed", "x"),
    "metadata": (
        FILE + NAMED + _part("metadata", b"[1]") + END,
        422,
        "validation_failed",
        "metadata",
    ),
    "metadata twice": (
        FILE + NAMED + _part("metadata", b'{"a": "1", "a": "2"}') + END,
        422,
        "validation_failed",
        "metadata",
    ),
    "metadata value": (
        FILE + NAMED + _part("metadata", b'{"a": 1}') + END,
        422,
        "validation_failed",
        "metadata.a",
    ),
    "no end": (FILE + NAMED, 400, "invalid_multipart", None),
    "cut file": (FILE[:-20], 400, "invalid_multipart", None),
    "not a form": (b"hello", 400, "invalid_multipart", None),
    "nothing": (b"--xx--\r\n", 422, "validation_failed", "file"),
    "long field": (FILE + _part("name", b"x" * 70_000) + END, 413, "payload_too_large", "name"),
    "many parts": (_part("", b"") * 1001 + END, 422, "validation_failed", ""),
}


def test_forms_that_are_refused(api: Api, acme: Merchant) -> None:
    """Half an upload would become a dataset, or leave its bytes on the disk."""
    before = api.row_counts()
    for name, (body, status, code, param) in BAD.items():
        response = api.post("/v1/datasets", acme, data=body, content_type=BOUNDARY)
        error = error_of(response)
        found = (name, response.status_code, error["code"], error["param"])
        assert found == (name, status, code, param)
        assert api.stray_files() == []
    assert api.row_counts() == before


def test_media_types(api: Api, acme: Merchant) -> None:
    """A zip sent bare would be searched for form parts."""
    for kind, status, code in (
        ("application/json", 415, "unsupported_media_type"),
        ("application/zip", 415, "unsupported_media_type"),
        ("", 415, "unsupported_media_type"),
        ("multipart/form-data", 400, "invalid_multipart"),
        ("multipart/form-data; boundary=", 400, "invalid_multipart"),
        ("multipart/form-data; boundary=\u00e9", 400, "invalid_multipart"),
    ):
        response = api.post("/v1/datasets", acme, data=FILE + NAMED + END, content_type=kind)
        assert (kind, response.status_code, error_of(response)["code"]) == (kind, status, code)
    assert api.stray_files() == []


def test_the_order_of_the_parts_is_free(api: Api, acme: Merchant) -> None:
    """A client library that sends the file last would be refused."""
    for body in (FILE + NAMED + END, NAMED + FILE + END, b"preamble\r\n" + NAMED + FILE + END):
        response = api.post("/v1/datasets", acme, data=body, content_type=BOUNDARY)
        assert response.status_code == 202
        assert response.get_json()["sha256"] == hashlib.sha256(ZIP).hexdigest()


def test_checksums_of_the_client(api: Api, acme: Merchant) -> None:
    """Bytes damaged on the way would be trained on."""
    body = FILE + NAMED + END
    packed = base64.b64encode(hashlib.sha256(body).digest()).decode()
    longer = base64.b64encode(hashlib.sha512(body).digest()).decode()
    file = hashlib.sha256(ZIP).hexdigest()
    for name, value, status in (
        ("X-Content-SHA256", file, 202),
        ("X-Content-SHA256", file.upper(), 202),
        ("Content-Digest", f"sha-256=:{packed}:", 202),
        ("Content-Digest", f"md5=:x:, sha-256=:{packed}:", 202),
        ("Content-Digest", f"sha-512=:{longer}:", 202),
        ("Content-Digest", f"sha-512=:{longer}:, sha-256=:{packed}:", 202),
        ("Content-Digest", f"sha-512=:{longer}:, sha-256=:{'A' * 43}=:", 422),
        ("Content-Digest", f"sha-512=:{packed}:", 422),
        ("Content-Digest", f"sha-256={packed}", 422),
        ("X-Content-SHA256", "0" * 64, 422),
        ("X-Content-SHA256", "x", 422),
        ("Content-Digest", f"sha-256=:{'A' * 43}=:", 422),
        ("Content-Digest", "md5=:x:", 422),
    ):
        before = api.row_counts()
        headers = {name: value}
        response = api.post("/v1/datasets", acme, data=body, content_type=BOUNDARY, headers=headers)
        assert (name, value, response.status_code) == (name, value, status)
        if status == 422:
            error = error_of(response)
            assert (error["param"], error["details"][0]["code"]) == (name, "checksum_mismatch")
            assert api.row_counts() == before


def test_a_file_over_the_limit(settings: Settings, database: Database, acme: Merchant) -> None:
    """One merchant could fill the disk of everybody."""
    limits = UploadLimits(max_bytes=1000)
    api = Api(settings.model_copy(update={"uploads": limits}), database)
    before = api.row_counts()
    for data in (os.urandom(1001), os.urandom(3_000_000)):
        body = _part("file", data, "set.zip") + NAMED + END
        response = api.post("/v1/datasets", acme, data=body, content_type=BOUNDARY)
        assert response.status_code == 413
        assert error_of(response)["code"] == "payload_too_large"
    assert api.row_counts() == before
    assert api.stray_files() == []


def test_what_stands_outside_the_parts_is_limited(api: Api, acme: Merchant) -> None:
    """A few bodies without a file would take the memory of the whole process."""
    before = api.row_counts()
    padding = b"x" * 66_000
    head = b"--xx\r\nX-Padding: " + padding
    for name, body in (
        ("preamble", padding + b"\r\n" + NAMED + FILE + END),
        ("part header", NAMED + head + FILE[4:] + END),
        ("header without an end", FILE + NAMED + head),
        ("epilogue", NAMED + FILE + END + padding),
    ):
        response = api.post("/v1/datasets", acme, data=body, content_type=BOUNDARY)
        error = error_of(response)
        assert (name, response.status_code, error["code"]) == (name, 413, "payload_too_large")
        assert api.stray_files() == []
    assert api.row_counts() == before


def test_a_long_body_outside_the_parts_is_not_held(api: Api, acme: Merchant) -> None:
    """The limit would hold only once everything is in memory."""
    for start in (b"", b"--xx\r\nX-Padding: ", NAMED + FILE + END):
        sent = io.BytesIO(start + bytes(20_000_000))
        given = {"input_stream": sent, "content_length": len(sent.getvalue())}
        response = api.post("/v1/datasets", acme, content_type=BOUNDARY, **given)
        assert response.status_code == 413
        assert sent.tell() < 1_000_000


def test_a_short_epilogue_is_ignored(api: Api, acme: Merchant) -> None:
    """A client that ends its form with a remark, as RFC 2046 allows, would be refused."""
    body = FILE + NAMED + END + b"--xx\r\nnot a part"
    response = api.post("/v1/datasets", acme, data=body, content_type=BOUNDARY)
    assert response.status_code == 202
    assert response.get_json()["sha256"] == hashlib.sha256(ZIP).hexdigest()


def _left(services: Services, name: str, folder_age: float, file_age: float) -> Path:
    """Leave a folder as an upload does, written to so many seconds ago."""
    folder = services.uploads / name
    folder.mkdir(parents=True)
    (folder / "upload").write_bytes(b"x")
    for path, age in ((folder / "upload", file_age), (folder, folder_age)):
        os.utime(path, (time.time() - age, time.time() - age))
    return folder


def test_what_a_killed_process_left_is_swept(api: Api) -> None:
    """Every crash during an upload would cost its size in disk for ever."""
    services = api.app.extensions[NAME]
    old, new = _left(services, "old", 7200, 7200), _left(services, "new", 0, 0)
    uploads.sweep(services)
    assert not old.exists()
    assert new.exists()


def test_a_slow_upload_is_not_swept(api: Api) -> None:
    """A set that takes two hours on a thin line would be deleted under its upload."""
    services = api.app.extensions[NAME]
    slow = _left(services, "slow", 7200, 10)
    uploads.sweep(services)
    assert slow.exists()


def test_a_piece_that_comes_makes_an_upload_live(
    api: Api, acme: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload whose bytes wait in a buffer would look forgotten, and be deleted."""
    services = api.app.extensions[NAME]

    def slowly(_limit: int) -> Iterator[bytes]:
        body = FILE + NAMED + END
        for part in (body[:90], body[90:]):
            for path in services.uploads.rglob("*"):
                os.utime(path, (0, 0))
            yield part
            uploads.sweep(services)
            assert api.stray_files()

    monkeypatch.setattr(uploads, "pieces", slowly)
    response = api.post("/v1/datasets", acme, data=FILE + NAMED + END, content_type=BOUNDARY)
    assert response.status_code == 202


def test_uploads_sweep_now_and_then(
    api: Api, acme: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Disks would fill until somebody restarts the API."""
    old = _left(api.app.extensions[NAME], "old", 7200, 7200)
    assert api.upload(acme).status_code == 202
    assert old.exists()
    monkeypatch.setattr(uploads, "_SWEEP_SECONDS", 0.0)
    assert api.upload(acme).status_code == 202
    assert not old.exists()


def test_two_processes_may_sweep_at_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload would fail, or the API not start, because another one ended at that moment."""
    services = api.app.extensions[NAME]
    old = _left(services, "old", 7200, 7200)
    listed = Path.iterdir

    def with_ghosts(self: Path) -> Iterator[Path]:
        yield self / "gone"
        yield from listed(self)

    monkeypatch.setattr(Path, "iterdir", with_ghosts)
    uploads.sweep(services)
    assert not old.exists()
    services.uploads.rmdir()
    uploads.sweep(services)


def test_nothing_stays_after_success(api: Api, acme: Merchant) -> None:
    """Every upload would be kept twice."""
    assert api.upload(acme).status_code == 202
    assert api.stray_files() == []
    form = {"name": "set", "file": (io.BytesIO(b""), "empty.zip")}
    assert api.post("/v1/datasets", acme, data=form).status_code == 422
    assert api.stray_files() == []
