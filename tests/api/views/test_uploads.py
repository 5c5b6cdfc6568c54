"""Files in parts over HTTP: any order, any number of times, and only whole files are taken."""

import hashlib
import random

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from db.base import now
from db.lifecycle.sweep import sweep
from db.models import Tenant, Upload, UploadPart
from regraft.contract.uploads import PART_BYTES
from tests.support.api import TWO_CLASSES, Api, error_of, zipped
from tests.support.merchants import Merchant


@pytest.fixture
def file() -> bytes:
    """A zip of two parts."""
    return zipped({**TWO_CLASSES, "cup/d.jpg": random.Random(1).randbytes(PART_BYTES)})


def _begin(api: Api, merchant: Merchant, file: bytes) -> TestResponse:
    body = {"bytes": len(file), "sha256": hashlib.sha256(file).hexdigest()}
    return api.post("/v1/uploads", merchant, json=body)


def _put(
    api: Api, merchant: Merchant, upload: str, number: int, data: bytes, **given: str
) -> TestResponse:
    """Send one part, with further headers: `X_Content_SHA256=…`."""
    named = {name.replace("_", "-"): value for name, value in given.items()}
    headers = {"Content-Type": "application/octet-stream", **named}
    path = f"/v1/uploads/{upload}/parts/{number}"
    return api.send("PUT", path, merchant, data=data, headers=headers)


def _push(api: Api, merchant: Merchant, upload: str) -> TestResponse:
    form = {"name": "from parts", "upload": upload}
    return api.post(
        "/v1/datasets", merchant, data=form, content_type="multipart/form-data; boundary=x"
    )


def test_parts_become_a_dataset(api: Api, acme: Merchant, file: bytes) -> None:
    """What was sent in parts would be another file than what was meant."""
    began = _begin(api, acme, file)
    upload = began.get_json()
    assert (began.status_code, upload["num_parts"], upload["status"]) == (201, 2, "open")
    parts = [file[:PART_BYTES], file[PART_BYTES:]]
    for number in (2, 1, 1):  # in any order, and as often as it takes
        data = parts[number - 1]
        digest = hashlib.sha256(data).hexdigest()
        sent = _put(api, acme, upload["id"], number, data, X_Content_SHA256=digest)
        assert sent.status_code == 200
    assert [part["number"] for part in sent.get_json()["parts"]] == [1, 2]
    assert _begin(api, acme, file).get_json()["id"] == upload["id"]
    assert error_of(_push(api, acme, upload["id"]))["param"] == "upload"
    for _again in range(2):
        done = api.post(f"/v1/uploads/{upload['id']}/complete", acme)
        assert (done.status_code, done.get_json()["status"]) == (200, "complete")
    assert _put(api, acme, upload["id"], 1, parts[0]).status_code == 409
    pushed = _push(api, acme, upload["id"])
    assert pushed.status_code == 202
    dataset = pushed.get_json()
    assert (dataset["bytes"], dataset["sha256"]) == (len(file), hashlib.sha256(file).hexdigest())
    assert _push(api, acme, upload["id"]).status_code == 404
    assert api.stray_files() == []


def test_what_is_not_the_part_is_refused(api: Api, acme: Merchant, file: bytes) -> None:
    """A byte that a poor line changed would be trained on."""
    upload = _begin(api, acme, file).get_json()["id"]
    before = api.row_counts()
    last = file[PART_BYTES:]
    wrong = {
        "X-Content-SHA256": _put(api, acme, upload, 2, last, X_Content_SHA256="0" * 64),
        "bytes": _put(api, acme, upload, 2, last[:-1]),
        "number": _put(api, acme, upload, 3, last),
    }
    for param, answer in wrong.items():
        assert (answer.status_code, error_of(answer)["param"]) == (422, param)
    assert _put(api, acme, upload, 2, last + b"x").status_code == 413
    missing = api.post(f"/v1/uploads/{upload}/complete", acme)
    assert (missing.status_code, "1, 2" in error_of(missing)["message"]) == (409, True)
    assert api.row_counts() == before


def test_the_whole_must_be_what_was_said(api: Api, acme: Merchant, file: bytes) -> None:
    """Parts of two files could make a third that nobody checked."""
    body = {"bytes": len(file), "sha256": "0" * 64}
    upload = api.post("/v1/uploads", acme, json=body).get_json()["id"]
    for number, data in ((1, file[:PART_BYTES]), (2, file[PART_BYTES:])):
        _put(api, acme, upload, number, data)
    refused = api.post(f"/v1/uploads/{upload}/complete", acme)
    assert error_of(refused)["details"][0]["code"] == "checksum_mismatch"
    text = b"no zip at all"
    other = _begin(api, acme, text).get_json()["id"]
    _put(api, acme, other, 1, text)
    refused = api.post(f"/v1/uploads/{other}/complete", acme)
    assert error_of(refused)["code"] == "dataset_invalid"
    assert api.stray_files() == []


def test_bytes_are_reserved(api: Api, acme: Merchant, zenith: Merchant, file: bytes) -> None:
    """Ten uploads at once could each find room for one, and together fill the disk."""
    with api.database.write() as session:
        limit = update(Tenant).where(Tenant.id == acme.tenant_id)
        session.execute(limit.values(max_stored_bytes=len(file) + 1000))
    upload = _begin(api, acme, file).get_json()["id"]
    refused = [
        api.post("/v1/uploads", acme, json={"bytes": 2000, "sha256": "1" * 64}),
        api.upload(acme, zipped({**TWO_CLASSES, "cup/e.jpg": random.Random(2).randbytes(2000)})),
    ]
    assert [error_of(one)["code"] for one in refused] == ["quota_exceeded"] * 2
    assert _begin(api, zenith, file).status_code == 201
    _put(api, acme, upload, 1, file[:PART_BYTES])
    assert api.upload(acme).status_code == 202  # what has come is not counted twice
    with api.database.read() as session:
        mine = select(Upload.id).where(Upload.tenant_id == acme.tenant_id)
        assert session.scalars(mine).all() == [upload]


def test_what_is_forgotten_goes(api: Api, acme: Merchant, file: bytes) -> None:
    """Uploads that nobody ends would use up the quota, and the disk, for ever."""
    upload = _begin(api, acme, file).get_json()["id"]
    _put(api, acme, upload, 2, file[PART_BYTES:])
    with api.database.write() as session:
        session.execute(update(Upload).values(expires_at=now() - 1))
    assert api.get(f"/v1/uploads/{upload}", acme).status_code == 404
    assert sweep(api.database)["uploads"] == 1
    with api.database.read() as session:
        assert session.scalars(select(UploadPart)).all() == []
