"""Versions of a dataset over HTTP: what is taken, what is refused and where the fault is."""

import io
import json
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from db.models import Dataset
from regraft.contract.ids import new_id
from tests.support.api import Api, error_of, zipped
from tests.support.merchants import Merchant

ONE_CLASS = zipped({"cup/1.jpg": b"c" * 50})


@pytest.fixture
def parent(api: Api, acme: Merchant) -> str:
    """A dataset that is ready."""
    return api.ready_dataset(acme, ["cup", "mug"])


def _send(api: Api, merchant: Merchant, parent: str, **form: Any) -> TestResponse:
    texts = {name: json.dumps(form[name]) for name in ("relabel", "remove") if name in form}
    # Without a file a client of Werkzeug's would send a form of the other kind.
    kind = {"content_type": "multipart/form-data"}
    headers = form.pop("headers", {})
    path = f"/v1/datasets/{parent}/versions"
    return api.post(path, merchant, data={**form, **texts}, headers=headers, **kind)


def _file(data: bytes) -> tuple[io.BytesIO, str]:
    return io.BytesIO(data), "more.zip"


def test_images_are_added_relabelled_and_removed(api: Api, acme: Merchant, parent: str) -> None:
    """A season's new photos would mean sending all of them again."""
    old, bad = (api.add_image(acme, parent, seq, "ok", bytes([seq] * 90)) for seq in range(2))
    before = api.get(f"/v1/datasets/{parent}", acme).get_json()
    form = {"file": _file(ONE_CLASS), "relabel": {old: "cup"}, "remove": [bad]}
    answer = _send(api, acme, parent, **form)
    assert answer.status_code == 202, answer.text
    made = answer.get_json()
    assert (made["status"], made["parent"], made["version"]) == ("processing", parent, 2)
    assert (made["name"], made["bytes"]) == (before["name"], len(ONE_CLASS))
    with api.database.read() as session:
        changes = session.scalars(select(Dataset.changes).where(Dataset.id == made["id"])).one()
    assert changes == {"relabel": {old: "cup"}, "remove": [bad]}
    assert api.get(f"/v1/datasets/{parent}", acme).get_json() == before
    (entry,) = api.get("/v1/audit", acme).get_json()["data"]
    assert (entry["action"], entry["subject"]) == ("dataset.version_made", made["id"])
    assert entry["actor"]


def test_a_complete_upload_is_added(api: Api, acme: Merchant, parent: str) -> None:
    """A large season could not be sent in parts."""
    taken = api.complete_upload(acme, ONE_CLASS)
    refused = api.post(
        "/v1/datasets",
        acme,
        data={"name": "cups", "upload": taken},
        content_type="multipart/form-data",
    )
    assert (refused.status_code, error_of(refused)["code"]) == (422, "too_few_classes")
    answer = _send(api, acme, parent, upload=taken)
    assert (answer.status_code, answer.get_json()["bytes"]) == (202, len(ONE_CLASS))
    assert _send(api, acme, parent, upload=taken).status_code == 404


def test_the_same_request_makes_one_version(api: Api, acme: Merchant, parent: str) -> None:
    """A client that lost the answer would make another version each time."""
    image = api.add_image(acme, parent, 0, "ok", b"a photo")
    key = {"Idempotency-Key": "k1"}
    answers = [_send(api, acme, parent, remove=[image], headers=key) for _ in range(2)]
    assert answers[0].data == answers[1].data
    assert answers[0].get_json()["version"] == 2
    other = _send(api, acme, parent, relabel={image: "cup"}, headers=key)
    assert error_of(other)["code"] == "idempotency_mismatch"


def test_what_cannot_be_meant_is_refused(api: Api, acme: Merchant, parent: str) -> None:
    """A merchant would look for the fault in a thousand ids."""
    image, other = (api.add_image(acme, parent, seq, "ok", b"a photo") for seq in range(2))
    unknown = new_id("img")
    before = api.row_counts()
    long = "x" * 256
    for form, status, param in (
        ({}, 422, "file"),
        ({"name": "spring"}, 422, "file"),
        ({"relabel": {}, "remove": []}, 422, "file"),
        ({"remove": [image, image]}, 422, "remove.1"),
        ({"remove": [other, image], "relabel": {image: "cup"}}, 422, "remove.1"),
        ({"remove": ["img_1"]}, 422, "remove.0"),
        ({"remove": {}}, 422, "remove"),
        ({"remove": [unknown]}, 404, "remove.0"),
        ({"relabel": [image]}, 422, "relabel"),
        ({"relabel": {image: ""}}, 422, f"relabel.{image}"),
        ({"relabel": {image: long}}, 422, f"relabel.{image}"),
        ({"relabel": {image: "a\u202eb"}}, 422, f"relabel.{image}"),
        ({"relabel": {image: 1}}, 422, f"relabel.{image}"),
        ({"relabel": {unknown: "cup"}}, 404, f"relabel.{unknown}"),
        ({"file": _file(b"no zip")}, 422, "file"),
        ({"file": _file(ONE_CLASS), "upload": new_id("up")}, 422, "file"),
        ({"upload": new_id("up")}, 404, "upload"),
        ({"remove": [image], "else": "1"}, 422, "else"),
    ):
        answer = _send(api, acme, parent, **form)
        assert answer.status_code == status, (form, answer.text)
        assert error_of(answer)["param"] == param, (form, answer.text)
    assert api.row_counts() == before
    assert api.stray_files() == []


def test_many_changes_fit_in_one_request(api: Api, acme: Merchant, parent: str) -> None:
    """A merchant who sorts out a thousand photos would need a version for each hundred."""
    image = api.add_image(acme, parent, 0, "ok", b"a photo")
    many = [image, *(new_id("img") for _ in range(3000))]
    answer = _send(api, acme, parent, remove=many)
    assert (answer.status_code, error_of(answer)["param"]) == (404, "remove.1")
    head = b'--xx\r\nContent-Disposition: form-data; name="remove"\r\n\r\n'
    body = head + json.dumps(many * 11).encode() + b"\r\n--xx--\r\n"
    kind = "multipart/form-data; boundary=xx"
    path = f"/v1/datasets/{parent}/versions"
    answer = api.post(path, acme, data=body, content_type=kind)
    assert (answer.status_code, error_of(answer)["param"]) == (413, "remove")


def test_an_erasure_waits_for_the_versions_that_are_checked(
    api: Api, acme: Merchant, parent: str
) -> None:
    """The version would lose its images before it has rows of its own."""
    image, _ = (api.add_image(acme, parent, seq, "ok", bytes([seq] * 90)) for seq in range(2))
    version = _send(api, acme, parent, remove=[image]).get_json()["id"]
    refused = api.send("DELETE", f"/v1/datasets/{parent}", acme)
    assert (refused.status_code, error_of(refused)["code"]) == (409, "in_use")
    preview = api.post("/v1/erasures/preview", acme, json={"dataset": parent}).get_json()
    assert (preview["versions"], len(preview["jobs"])) == ([version], 1)
