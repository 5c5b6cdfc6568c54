"""Predictions through the API: who may ask what, what a form may hold, doing without serving."""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from werkzeug.test import TestResponse

from core.settings import Serving as ServingSettings
from core.settings import Settings
from db.session import Database
from tests.conftest import fresh_url
from tests.serve.conftest import BLUE, GREEN, RED, photo
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant, create
from tests.support.served import Shelf, listening

_KIND = "multipart/form-data; boundary=xx"


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLite alone: what differs between databases is below what is tested here."""
    with fresh_url("sqlite", request) as url:
        yield url


@pytest.fixture
def serving_api(settings: Settings, database: Database) -> Iterator[Api]:
    """The API with a serving process that it reaches over a socket."""
    with listening(settings, database) as url:
        given = ServingSettings(url=url, max_images=6, max_bytes=200_000)
        yield Api(settings.model_copy(update={"serving": given}), database)


def _ask(
    api: Api,
    merchant: Merchant | None,
    ref: str,
    photos: Sequence[bytes],
    *,
    route: str = "predict",
    query: str = "",
    **fields: str,
) -> TestResponse:
    files = [(io.BytesIO(data), f"{number}.jpg") for number, data in enumerate(photos)]
    form: dict[str, Any] = {"image": files, **fields}
    return api.post(f"/v1/models/{ref}/{route}{query}", merchant, data=form)


def test_photos_are_answered(
    serving_api: Api, acme: Merchant, database: Database, settings: Settings
) -> None:
    """The road from a form to an answer, by id and by name."""
    model_id = Shelf(database).add(acme.tenant_id, thresholds=(0.5, None, 0.5))
    found = _ask(serving_api, acme, model_id, [photo(RED), photo(GREEN), b"no"], query="?top=1")
    assert found.status_code == 200, found.text
    body = found.get_json()
    assert body["model"] == model_id
    assert [row["image"] for row in body["results"]] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [row["label"] for row in body["results"]] == ["red", "green", None]
    assert [row["abstained"] for row in body["results"]] == [False, True, True]
    assert [len(row["top"]) for row in body["results"]] == [1, 1, 0]
    name = serving_api.get(f"/v1/models/{model_id}", acme).get_json()["name"]
    assert _ask(serving_api, acme, f"{name}:1", [photo(BLUE)]).get_json()["model"] == model_id


def test_products_and_vectors(serving_api: Api, acme: Merchant, database: Database) -> None:
    """A merchant has several photos of a product, and wants one answer for it."""
    model_id = Shelf(database).add(acme.tenant_id)
    groups = json.dumps(["SKU-1", "SKU-1", None])
    photos = [photo(RED), photo(RED), photo(BLUE)]
    body = _ask(serving_api, acme, model_id, photos, groups=groups).get_json()
    said = [(row["group"], row["num_images"], row["label"]) for row in body["results"]]
    assert said == [("SKU-1", 2, "red"), (None, 1, "blue")]
    pooled = _ask(serving_api, acme, model_id, photos, route="embed", query="?pool=true")
    assert [len(row["vector"]) for row in pooled.get_json()["results"]] == [3]


def test_another_merchants_model_is_not_there(
    serving_api: Api, acme: Merchant, zenith: Merchant, database: Database
) -> None:
    """The same answer as for one that never was."""
    model_id = Shelf(database).add(acme.tenant_id)
    for ref in (model_id, "md_01k8zr2h6j8zt4e7g3n5r9v1wb", "no ref", "x@production"):
        for route in ("predict", "embed"):
            assert _ask(serving_api, zenith, ref, [photo()], route=route).status_code == 404
    assert _ask(serving_api, None, model_id, [photo()]).status_code == 401
    writer = create(database, "Writer", scopes=("write",))
    assert _ask(serving_api, writer, model_id, [photo()]).status_code == 403


_WRONG: list[tuple[list[bytes], dict[str, str], str, str]] = [
    ([b"x"] * 7, {}, "", "image"),
    ([b"x"], {"groups": "[1]"}, "", "groups"),
    ([b"x"], {"groups": "[]"}, "", "groups"),
    ([b"x"], {"groups": "{"}, "", "groups"),
    ([b"x"], {"groups": '["a"]'}, "?pool=true", "groups"),
    ([b"x"], {"other": "1"}, "", "other"),
    ([b"x"], {}, "?top=0", "top"),
    ([b"x"], {}, "?top=101", "top"),
    ([b"x"], {}, "?pool=perhaps", "pool"),
    ([b"x"], {}, "?x=1", "x"),
]


def test_a_wrong_form_is_named(serving_api: Api, acme: Merchant, database: Database) -> None:
    """A merchant's engineer would have to guess what is wrong."""
    model_id = Shelf(database).add(acme.tenant_id)
    for photos, fields, query, param in _WRONG:
        error = error_of(_ask(serving_api, acme, model_id, photos, query=query, **fields))
        assert (error["code"], error["param"]) == ("validation_failed", param), fields


def test_what_is_no_form_or_too_large(serving_api: Api, acme: Merchant, database: Database) -> None:
    """Memory of the process would be the client's to fill."""
    path = f"/v1/models/{Shelf(database).add(acme.tenant_id)}/predict"
    large = _ask(serving_api, acme, path.split("/")[3], [b"x" * 300_000])
    assert error_of(large)["code"] == "payload_too_large"
    for body, kind, code in (
        (b"{}", "application/json", "unsupported_media_type"),
        (b"--xx\r\n", _KIND, "invalid_multipart"),
        (b"hello", _KIND, "invalid_multipart"),
        (b"--xx--\r\n", _KIND, "validation_failed"),
    ):
        answer = serving_api.post(path, acme, data=body, headers={"Content-Type": kind})
        assert error_of(answer)["code"] == code


def test_without_the_serving_process_everything_else_goes_on(
    api: Api, acme: Merchant, database: Database
) -> None:
    """A crash of one process would take the merchants' jobs and downloads with it."""
    down = ServingSettings(url="http://127.0.0.1:9")
    alone = Api(api.settings.model_copy(update={"serving": down}), database)
    model_id = Shelf(database).add(acme.tenant_id)
    answer = _ask(alone, acme, model_id, [photo()])
    assert (answer.status_code, error_of(answer)["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert alone.get(f"/v1/models/{model_id}", acme).status_code == 200
    assert alone.get("/readyz", None).status_code == 200


def test_a_wrong_secret_is_no_fault_of_the_merchants(
    serving_api: Api, acme: Merchant, database: Database
) -> None:
    """A merchant would be told that the key is wrong, and change it in vain."""
    given = serving_api.settings.serving.model_copy(update={"secret": "other"})
    wrong = Api(serving_api.settings.model_copy(update={"serving": given}), database)
    answer = _ask(wrong, acme, Shelf(database).add(acme.tenant_id), [photo()])
    assert error_of(answer)["code"] == "unavailable"


def test_a_damaged_model_is_said(serving_api: Api, acme: Merchant, database: Database) -> None:
    """The merchant must not be told what an altered model says."""
    shelf = Shelf(database)
    model_id = shelf.add(acme.tenant_id)
    shelf.alter(model_id, "head.safetensors")
    assert error_of(_ask(serving_api, acme, model_id, [photo()]))["code"] == "artifact_corrupt"


def test_one_merchant_takes_half_of_the_places(
    serving_api: Api, acme: Merchant, zenith: Merchant, database: Database
) -> None:
    """A merchant's flood of photos would leave no thread for another's."""
    shelf = Shelf(database)
    ours, theirs = shelf.add(acme.tenant_id), shelf.add(zenith.tenant_id)
    gate = serving_api.app.extensions["regraft"].gates.predictions
    places = serving_api.app.extensions["regraft"].api.predictions // 2
    for _ in range(places):
        gate.enter(acme.tenant_id)
    assert error_of(_ask(serving_api, acme, ours, [photo()]))["code"] == "unavailable"
    assert _ask(serving_api, zenith, theirs, [photo()]).status_code == 200
