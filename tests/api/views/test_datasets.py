"""Datasets over HTTP."""

import hashlib
import json
import re

from db.blobs import SqlBlobStore
from regraft.contract.resources import Dataset
from tests.support.api import Api, error_of, zipped
from tests.support.merchants import Merchant


def test_an_upload_is_accepted_and_stored(api: Api, acme: Merchant) -> None:
    """Ingest would find no container, or the merchant no dataset."""
    form = {"name": "home goods", "metadata": json.dumps({"season": "FW26"})}
    response = api.upload(acme, form=form)
    assert response.status_code == 202
    shown = response.get_json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown["created_at"])
    dataset = Dataset.model_validate(shown)
    assert (dataset.status, dataset.name, dataset.metadata) == (
        *("processing", "home goods", {"season": "FW26"}),
    )
    assert (dataset.bytes, dataset.sha256) == (
        *(len(zipped()), hashlib.sha256(zipped()).hexdigest()),
    )
    stored = SqlBlobStore(api.database).read(acme.tenant_id, dataset.sha256)
    assert b"".join(stored) == zipped()
    assert api.get(f"/v1/datasets/{dataset.id}", acme).get_json() == shown
    assert api.get("/v1/datasets", acme).get_json()["data"] == [shown]
    counts = api.row_counts()
    assert (counts["dataset"], counts["job"], counts["job_event"]) == (1, 1, 1)


def test_verdicts_are_paged_and_filtered(api: Api, acme: Merchant) -> None:
    """A merchant with 10,000 photos could not find the three that were refused."""
    dataset = api.ready_dataset(acme)
    ids = [api.add_image(acme, dataset, seq, "corrupt" if seq == 3 else "ok") for seq in range(5)]
    path = f"/v1/datasets/{dataset}/images"
    first = api.get(f"{path}?limit=3", acme).get_json()
    rest = api.get(f"{path}?limit=3&cursor={first['next_cursor']}", acme).get_json()
    assert [image["id"] for image in (*first["data"], *rest["data"])] == ids
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)
    (bad,) = api.get(f"{path}?verdict=corrupt", acme).get_json()["data"]
    assert (bad["id"], bad["label"], bad["width"]) == (ids[3], "mug", None)
    assert error_of(api.get(f"{path}?verdict=nice", acme))["param"] == "verdict"


def test_a_picture_as_it_is_trained_on(api: Api, acme: Merchant, zenith: Merchant) -> None:
    """A merchant could not see what a verdict, or a wrong answer of a model, is about."""
    dataset, other = api.ready_dataset(acme), api.ready_dataset(acme)
    photo = bytes(range(256)) * 400
    image = api.add_image(acme, dataset, 0, "ok", photo)
    path = f"/v1/datasets/{dataset}/images/{image}"
    answer = api.get(path, acme)
    assert (answer.status_code, answer.data) == (200, photo)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{image}-image.jpg"'
    part = api.get(path, acme, headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.data) == (206, photo[1:4])
    small = api.get(f"{path}/thumbnail", acme)
    assert (small.status_code, small.data, small.content_type) == (200, photo[:16], "image/jpeg")
    assert small.headers["Cache-Control"] == "private, no-cache"
    same = {"If-None-Match": small.headers["ETag"]}
    assert api.get(f"{path}/thumbnail", acme, headers=same).status_code == 304
    left_out = api.add_image(acme, dataset, 1, "corrupt")
    for merchant, missing in (
        (zenith, path),
        (acme, f"/v1/datasets/{other}/images/{image}"),
        (acme, f"/v1/datasets/{dataset}/images/{left_out}"),
    ):
        assert api.get(missing, merchant).status_code == 404
        assert api.get(f"{missing}/thumbnail", merchant).status_code == 404
