"""Search through the API: what is found, for whom, and what is said where nothing can be."""

import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from core.settings import Serving as ServingSettings
from core.settings import Settings
from db.models import BlobChunk, Image, Job, Model
from db.session import Database
from tests.serve.conftest import BLUE, GREEN, RED, photo
from tests.support.api import Api, error_of
from tests.support.features import KEY, store_features
from tests.support.jobs import ready_dataset
from tests.support.merchants import Merchant
from tests.support.served import Shelf, listening

# Features of the tests' backbone: the mean of each channel, in -1 to 1.
SEEN = {
    name: np.float32(1 / 127.5) * np.array(colour, dtype=np.float32) - 1
    for name, colour in (("red", RED), ("green", GREEN), ("blue", BLUE))
}


class Shop(NamedTuple):
    """A merchant's dataset of a red, a green and a blue image, and the model trained on it."""

    dataset: str
    model: str
    images: list[Image]


@pytest.fixture
def serving_api(settings: Settings, database: Database) -> Iterator[Api]:
    """The API with a serving process that it reaches over a socket."""
    with listening(settings, database) as url:
        given = ServingSettings(url=url, max_images=6, max_bytes=200_000, seconds=30)
        yield Api(settings.model_copy(update={"serving": given}), database)


@pytest.fixture
def shelf(database: Database) -> Shelf:
    """Puts models into the database."""
    return Shelf(database)


def shop(database: Database, shelf: Shelf, merchant: Merchant, *, stored: int = 3) -> Shop:
    """Give a merchant a dataset, a model trained on it, and features of some of its images."""
    dataset = ready_dataset(database, merchant.tenant_id, 3)
    model = shelf.add(merchant.tenant_id)
    with database.write() as session:
        made_by = select(Model.job_id).where(Model.id == model).scalar_subquery()
        session.execute(update(Job).where(Job.id == made_by).values(dataset_id=dataset))
        lineage = {"features_key": KEY}
        session.execute(update(Model).where(Model.id == model).values(lineage=lineage))
        query = select(Image).where(Image.dataset_id == dataset).order_by(Image.seq)
        images = list(session.scalars(query))
        for image, group in zip(images, ("SKU-1", "SKU-1", None), strict=True):
            image.product_group = group
    rows = zip(images[:stored], SEEN.values(), strict=False)
    if stored:
        store_features(
            database, merchant.tenant_id, {str(image.sha256): seen for image, seen in rows}
        )
    return Shop(dataset, model, images)


def ask(
    api: Api, merchant: Merchant, dataset: str, photos: Sequence[bytes], query: str = ""
) -> TestResponse:
    """Search for photos."""
    files = [(io.BytesIO(data), f"{number}.jpg") for number, data in enumerate(photos)]
    form: dict[str, Any] = {"image": files}
    return api.post(f"/v1/datasets/{dataset}/search{query}", merchant, data=form)


def refusal_of(response: TestResponse) -> tuple[int, str]:
    """Return the status and the code of a refusal."""
    return response.status_code, error_of(response)["code"]


def test_the_most_similar_come_first(
    serving_api: Api, database: Database, shelf: Shelf, acme: Merchant
) -> None:
    """A shopper who photographs a red mug would be shown the blue one."""
    mine = shop(database, shelf, acme)
    found = ask(serving_api, acme, mine.dataset, [photo(RED), b"no photo"], "?top=2")
    assert found.status_code == 200, found.text
    body = found.get_json()
    first = body["results"][0]
    assert first == {
        "image": mine.images[0].id,
        "name": mine.images[0].path,
        "group": "SKU-1",
        "label": "mug",
        "score": pytest.approx(1.0, abs=0.01),
        "url": f"/v1/datasets/{mine.dataset}/images/{mine.images[0].id}",
    }
    assert serving_api.get(first["url"], acme).status_code == 200
    assert len(body["results"]) == 2
    assert (body["model"], body["num_images"], body["num_missing"]) == (mine.model, 3, 0)
    assert (body["exact"], body["recall"]) == (True, 1.0)
    assert [error["image"] for error in body["errors"]] == ["1.jpg"]
    nothing = ask(serving_api, acme, mine.dataset, [b"no photo"]).get_json()
    assert (nothing["results"], len(nothing["errors"])) == ([], 1)


def test_products_are_pooled_and_found_once(
    serving_api: Api, database: Database, shelf: Shelf, acme: Merchant
) -> None:
    """Ten photos of one mug would push every other product off the list."""
    mine = shop(database, shelf, acme)
    photos = [photo(RED), photo(GREEN)]
    body = ask(serving_api, acme, mine.dataset, photos, "?group=true").get_json()
    assert [row["group"] for row in body["results"]] == ["SKU-1", None]
    plain = ask(serving_api, acme, mine.dataset, photos).get_json()
    assert [row["group"] for row in plain["results"]] == ["SKU-1", "SKU-1", None]
    scores = [row["score"] for row in plain["results"]]
    assert scores[0] == pytest.approx(scores[1], abs=0.1)  # both colours are in the query


def test_nobody_finds_anothers_images(
    serving_api: Api, database: Database, shelf: Shelf, acme: Merchant, zenith: Merchant
) -> None:
    """A competitor's photos, or their number, would be in the answer."""
    mine, theirs = shop(database, shelf, acme), shop(database, shelf, zenith)
    answers = [ask(serving_api, acme, mine.dataset, [photo(RED)]) for _ in range(2)]
    found = {row["image"] for answer in answers for row in answer.get_json()["results"]}
    assert found == {image.id for image in mine.images}
    for dataset, query in (
        (theirs.dataset, ""),
        (theirs.dataset, f"?model={mine.model}"),
        (mine.dataset, f"?model={theirs.model}"),
    ):
        assert refusal_of(ask(serving_api, acme, dataset, [photo(RED)], query)) == (
            404,
            "not_found",
        )


def test_a_dataset_without_features_says_how_it_gets_them(
    serving_api: Api, database: Database, shelf: Shelf, acme: Merchant
) -> None:
    """A merchant would take an empty answer for 'nothing similar'."""
    mine = shop(database, shelf, acme, stored=0)
    refused = ask(serving_api, acme, mine.dataset, [photo(RED)])
    assert refusal_of(refused) == (409, "dataset_not_indexed")
    assert "/v1/batches" in refused.text
    bare = ready_dataset(database, acme.tenant_id, 2)
    refused = ask(serving_api, acme, bare, [photo(RED)])
    assert refusal_of(refused) == (409, "dataset_not_indexed")
    assert refused.get_json()["error"]["param"] == "model"
    named = ask(serving_api, acme, bare, [photo(RED)], f"?model={mine.model}")
    assert refusal_of(named) == (409, "dataset_not_indexed")


def test_missing_and_damaged_features_are_counted(
    serving_api: Api, database: Database, shelf: Shelf, acme: Merchant, zenith: Merchant
) -> None:
    """An image that was not compared would look as if it were not similar."""
    mine = shop(database, shelf, acme, stored=2)
    body = ask(serving_api, acme, mine.dataset, [photo(BLUE)]).get_json()
    assert (body["num_images"], body["num_missing"]) == (2, 1)
    theirs = shop(database, shelf, zenith)
    with database.write() as session:
        for chunk in session.scalars(
            select(BlobChunk).where(BlobChunk.scope == zenith.tenant_id)
        ).all():
            if b'"features"' in chunk.data:
                chunk.data = chunk.data[:-1] + bytes([chunk.data[-1] ^ 1])
    refused = ask(serving_api, zenith, theirs.dataset, [photo(BLUE)])
    assert refusal_of(refused) == (409, "dataset_not_indexed")


def test_a_tuned_backbone_is_refused(
    serving_api: Api, database: Database, shelf: Shelf, acme: Merchant
) -> None:
    """Vectors of two backbones would be compared, which means nothing."""
    mine = shop(database, shelf, acme)
    tuned = shelf.add(acme.tenant_id, own_backbone=shelf.backbone)
    refused = ask(serving_api, acme, mine.dataset, [photo(RED)], f"?model={tuned}")
    assert refusal_of(refused) == (409, "not_servable")
