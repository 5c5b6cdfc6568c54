"""One merchant at another's doors: every route, every method, every id, and nothing to learn."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.routing import IDS
from db.repositories import aliases
from db.repositories.aliases import Place
from db.repositories.audit import OPERATOR
from regraft.contract.ids import new_id
from tests.support.api import Api, Trained
from tests.support.merchants import Merchant

FILE = "model.onnx"
NAME = "home-goods"
BODIES: dict[str, dict[str, Any]] = {
    "PUT": {"json": {"to": 1}},
    "PATCH": {"json": {}},
    "POST": {"json": {}},
}
# Closed to every merchant, whatever the id: tests/api/views/test_administration.py.
_ADMINISTRATION = ("/v1/merchants", "/v1/keys")
# What is done with a model on a dataset, which the body names.
_NAME_A_DATASET = ("/classes", "/evaluate")
FIELDS = ("dataset", "test_dataset")


@pytest.fixture
def theirs(api: Api, acme: Merchant) -> Trained:
    """What the other merchant owns: one of everything."""
    found = api.trained(acme, {FILE: [b"secret weights"]}, name=NAME)
    api.add_image(acme, found.dataset_id, 0, "ok")
    return found


def _addresses(api: Api, parts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each method and path of the application that takes an id or a name, with these.

    What takes something away comes last, and the deepest first.
    """
    found = []
    for rule in api.app.url_map.iter_rules():
        names = re.findall(r"<(\w+)>", rule.rule)
        if names and not rule.rule.startswith(_ADMINISTRATION):
            assert set(names) <= {*parts, "file"}, f"{rule.rule}: tell this test how to fill it"
            path = re.sub(r"<(\w+)>", lambda found: {**parts, "file": FILE}[found[1]], rule.rule)
            methods = sorted((rule.methods or set()) - {"OPTIONS"})
            found += [(method, path) for method in methods]
    yield from sorted(found, key=lambda one: (one[0] == "DELETE", -one[1].count("/")))


@pytest.fixture
def parts(api: Api, theirs: Trained, acme: Merchant) -> dict[str, str]:
    """What fills the addresses of everything that the other merchant owns."""
    url = {"url": "https://hooks.example.com/"}
    webhook_id = api.post("/v1/webhooks", acme, json=url).get_json()["id"]
    delivery_id = api.post(f"/v1/webhooks/{webhook_id}/test", acme).get_json()["id"]
    ids = {"dataset_id": theirs.dataset_id, "job_id": theirs.job_id, "ref": theirs.model_id}
    gone = {"dataset": api.ready_dataset(acme)}
    erasure_id = api.post("/v1/erasures", acme, json=gone).get_json()["id"]
    more = {"webhook_id": webhook_id, "delivery_id": delivery_id, "erasure_id": erasure_id}
    file = {"bytes": 10, "sha256": "0" * 64}
    more["upload_id"] = api.post("/v1/uploads", acme, json=file).get_json()["id"]
    more["image_id"] = api.add_image(acme, theirs.dataset_id, 1, "ok", b"a secret photo")
    more["batch_id"] = api.answered(acme, theirs, [b"secret answers"])
    return {**ids, **more, "name": NAME, "alias": "production", "number": "1"}


def _walked(
    api: Api, address: tuple[str, str], merchant: Merchant, dataset_id: str
) -> TestResponse:
    method, path = address
    body = {"json": {"dataset": dataset_id}} if path.endswith(_NAME_A_DATASET) else None
    return api.send(method, path, merchant, **(body or BODIES.get(method, {})))


def _scrubbed(response: TestResponse) -> tuple[int, Any]:
    body = response.get_json(silent=True)
    if body is not None:
        body["error"]["request_id"] = None
    return response.status_code, body


def test_the_walk_covers_the_application(api: Api, parts: dict[str, str], acme: Merchant) -> None:
    """The walk below would pass because its addresses lead nowhere for anyone."""
    addresses = list(_addresses(api, parts))
    assert len(addresses) >= 25
    statuses = {
        _walked(api, address, acme, parts["dataset_id"]).status_code for address in addresses
    }
    # 409: the finished job cannot be cancelled, by its owner either. 415: a part is no JSON.
    assert statuses == {200, 202, 409, 415}


def test_another_merchants_ids_are_unknown_ids(
    api: Api, parts: dict[str, str], acme: Merchant, zenith: Merchant
) -> None:
    """A merchant could see, stop or download what a competitor trains."""
    real = parts
    random = {name: new_id(prefix) for name, (prefix, _) in IDS.items()}
    unknown = {**random, "ref": new_id("md"), "name": "nothing", "alias": "nowhere", "number": "1"}
    named = ({**real, "ref": ref} for ref in (f"{NAME}:1", f"{NAME}@production"))
    # PostgreSQL refuses a NUL in any text: it must not get that far.
    texts = ("1", "%00", "job_%27%20or%201=1", "x" * 999, "a@%00", "a:99999999999", "a@b@c")
    malformed = (dict.fromkeys(real, text) for text in texts)
    with api.database.write() as session:
        place = Place(acme.tenant_id, NAME, "production")
        assert aliases.apply(session, place, aliases.plan(session, place, 1), OPERATOR)
    before = api.row_counts()
    walks = [_addresses(api, filled) for filled in (real, unknown, *named, *malformed)]
    for addresses in zip(*walks, strict=True):
        answers = [
            _scrubbed(_walked(api, address, zenith, parts["dataset_id"])) for address in addresses
        ]
        assert answers[0][0] == 404, addresses[0]
        assert all(answer == answers[0] for answer in answers), addresses[0]
    assert api.row_counts() == before


def test_lists_hold_nothing_of_others(
    api: Api, theirs: Trained, parts: dict[str, str], zenith: Merchant
) -> None:
    """A list would show how many products a competitor has, and what they are."""
    paths = (
        "datasets",
        "jobs",
        "models",
        "audit",
        "webhooks",
        "erasures",
        "batches",
        f"models?name={NAME}",
    )
    for path in (f"/v1/{one}" for one in paths):
        assert api.get(path, zenith).get_json()["data"] == []
    assert api.get(f"/v1/jobs?dataset={theirs.dataset_id}", zenith).get_json()["data"] == []


@pytest.mark.parametrize("field", FIELDS)
def test_jobs_on_another_merchants_dataset(
    api: Api, theirs: Trained, zenith: Merchant, field: str
) -> None:
    """A merchant could train on a competitor's photos."""
    mine = api.ready_dataset(zenith)
    before = api.row_counts()
    answers = [
        _scrubbed(api.post("/v1/jobs", zenith, json={"dataset": mine, field: dataset}))
        for dataset in (theirs.dataset_id, new_id("ds"))
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert answers[0][1]["error"]["param"] == field
    assert api.row_counts() == before


@pytest.mark.parametrize("path", ["/v1/erasures", "/v1/erasures/preview"])
def test_nobody_erases_anothers_dataset(
    api: Api, theirs: Trained, zenith: Merchant, path: str
) -> None:
    """A competitor's photos would be gone."""
    before = api.row_counts()
    answers = [
        _scrubbed(api.post(path, zenith, json={"dataset": dataset}))
        for dataset in (theirs.dataset_id, new_id("ds"))
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert api.row_counts() == before
