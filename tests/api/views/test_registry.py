"""Promotions, roll-backs, deletions and the audit trail over HTTP."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from regraft.contract.held_out import FILE_NAME, HeldOut, Prediction
from tests.support.api import Api, Trained, error_of
from tests.support.merchants import Merchant, create

NAME = "home-goods"
PRODUCTION = f"/v1/models/{NAME}/aliases/production"


@pytest.fixture
def versions(api: Api, acme: Merchant) -> list[Trained]:
    """Two versions of one name."""
    files = {"model.onnx": [b"weights"]}
    return [api.trained(acme, files, name=NAME, version=version) for version in (1, 2)]


def put(api: Api, merchant: Merchant, **body: Any) -> TestResponse:
    """Move the alias `production`."""
    return api.send("PUT", PRODUCTION, merchant, json=body)


def test_promote_and_roll_back(api: Api, acme: Merchant, versions: list[Trained]) -> None:
    """A release and its taking back must be one call each, and leave who did it."""
    first = put(api, acme, to=1).get_json()
    assert (first["model"], first["version"], first["previous"]) == (
        *(versions[0].model_id, 1, None),
    )
    second = put(api, acme, to=versions[1].model_id)
    assert second.get_json()["previous"] == versions[0].model_id
    assert api.get(f"/v1/models/{NAME}@production", acme).get_json()["version"] == 2
    assert put(api, acme, to=2).get_json() == second.get_json()
    assert put(api, acme, to="previous").get_json()["version"] == 1
    assert api.get(f"/v1/models/{NAME}:1", acme).get_json()["aliases"] == ["production"]
    trail = api.get("/v1/audit", acme).get_json()["data"]
    assert [entry["action"] for entry in trail] == [
        *("model.rolled_back", "model.promoted", "model.promoted"),
    ]
    me = api.get("/v1/whoami", acme).get_json()["key"]
    assert trail[1]["request_id"] == second.headers["X-Request-Id"]
    assert {entry["actor"] for entry in trail} == {me}


def test_files_by_alias(api: Api, acme: Merchant, versions: list[Trained]) -> None:
    """A shop's server would have to know the id of each new model to fetch it."""
    put(api, acme, to=2)
    answer = api.get(f"/v1/models/{NAME}@production/files/model.onnx", acme)
    assert answer.data == b"weights"
    assert versions[1].model_id in answer.headers["Content-Disposition"]
    assert len(api.get(f"/v1/models/{NAME}:1/files", acme).get_json()["data"]) == 1


def test_lists_by_name(api: Api, acme: Merchant, versions: list[Trained]) -> None:
    """The versions of one product line are what a team chooses from."""
    found = api.get(f"/v1/models?name={NAME}", acme).get_json()["data"]
    assert [model["version"] for model in found] == [2, 1]
    assert api.get("/v1/models?name=nothing", acme).get_json()["data"] == []
    assert error_of(api.get("/v1/models?name=%00", acme))["param"] == "name"


def test_delete(api: Api, acme: Merchant, versions: list[Trained]) -> None:
    """Old versions would be kept for ever, or a live one taken away."""
    put(api, acme, to=2)
    path = f"/v1/models/{versions[1].model_id}"
    refused = error_of(api.send("DELETE", path, acme))
    assert refused["code"] == "in_use"
    assert f"{NAME}@production" in refused["message"]
    taken = api.send("DELETE", PRODUCTION, acme).get_json()
    assert taken == {"id": f"{NAME}@production", "object": "alias", "deleted": True}
    gone = api.send("DELETE", path, acme)
    assert gone.get_json() == {"id": versions[1].model_id, "object": "model", "deleted": True}
    for answer in (api.get(path, acme), api.send("DELETE", path, acme), put(api, acme, to=2)):
        assert error_of(answer)["code"] == "not_found"
    assert api.get(f"/v1/jobs/{versions[1].job_id}", acme).get_json()["model"] is not None
    newest = api.get("/v1/audit?limit=1", acme).get_json()
    assert (newest["data"][0]["action"], newest["has_more"]) == ("model.deleted", True)
    assert newest["data"][0]["data"]["version"] == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "to"),
        ({"to": 0}, "to"),
        ({"to": "newest"}, "to"),
        ({"to": True}, "to"),
        ({"to": 1, "force": "yes"}, "force"),
        ({"to": 1, "version": 1}, "version"),
    ],
)
def test_bad_moves(
    api: Api, acme: Merchant, versions: list[Trained], body: dict[str, Any], param: str
) -> None:
    """A misspelt field would promote another model than the one meant."""
    refused = error_of(put(api, acme, **body))
    assert (refused["code"], refused["param"]) == ("validation_failed", param)


def test_a_reader_moves_nothing(api: Api, versions: list[Trained]) -> None:
    """A key for a dashboard could release models."""
    reader = create(api.database, "Reader", ("read",))
    for answer in (
        put(api, reader, to=1),
        api.send("DELETE", PRODUCTION, reader),
        api.send("DELETE", f"/v1/models/{versions[0].model_id}", reader),
    ):
        assert error_of(answer)["code"] == "insufficient_scope"


def test_two_merchants_share_no_name(
    api: Api, acme: Merchant, zenith: Merchant, versions: list[Trained]
) -> None:
    """One team's release would be another's."""
    api.trained(zenith, {}, name=NAME, version=1)
    put(api, acme, to=2)
    assert put(api, zenith, to=1).get_json()["version"] == 1
    assert error_of(put(api, zenith, to=2))["code"] == "not_found"
    assert error_of(put(api, zenith, to=versions[0].model_id))["code"] == "not_found"
    assert api.get(f"/v1/models/{NAME}@production", acme).get_json()["version"] == 2
    assert len(api.get("/v1/audit", zenith).get_json()["data"]) == 1


def predicted(right: int, total: int = 100) -> dict[str, list[bytes]]:
    """Return the file that says how a model did on the same test images."""
    test = [
        Prediction(
            image=f"{number}.jpg",
            sha256=str(number),
            label="mug",
            predicted="mug" if number < right else "cup",
            probability=0.9,
        )
        for number in range(total)
    ]
    content = HeldOut(test=test).model_dump_json().encode()
    half = len(content) // 2
    return {FILE_NAME: [content[:half], content[half:]]}


def test_a_worse_model_is_refused_unless_forced(api: Api, acme: Merchant) -> None:
    """A bad training would go live because its name has the higher number."""
    for version, right in ((1, 93), (2, 51), (3, 93), (4, 92)):
        api.trained(acme, predicted(right), name=NAME, version=version)
    assert put(api, acme, to=1).get_json()["comparison"] is None
    before = api.row_counts()
    refused = error_of(put(api, acme, to=2))
    assert (refused["code"], refused["param"]) == ("worse_model", "to")
    for figure in ("51 of 100 test images", "home-goods:1", " 93:", "-42.0 points", "interval"):
        assert figure in refused["message"]
    assert "chance" not in refused["message"]
    assert "force" in refused["remedy"]
    assert api.row_counts() == before
    assert "chance" in error_of(put(api, acme, to=4))["message"]
    assert put(api, acme, to=3).get_json()["comparison"]["gain"]["points"] == 0
    forced = put(api, acme, to=2, force=True).get_json()
    assert (forced["version"], forced["comparison"]["num_right"]) == (2, 51)
    noted = api.get("/v1/audit", acme).get_json()["data"][0]["data"]
    assert (noted["forced"], noted["comparison"]["num_right_before"]) == (True, 93)


def test_a_roll_back_is_never_refused(api: Api, acme: Merchant) -> None:
    """A model that fails in the shop could not be taken back, as it did better on old photos."""
    for version, right in ((1, 60), (2, 90)):
        api.trained(acme, predicted(right), name=NAME, version=version)
    put(api, acme, to=1)
    put(api, acme, to=2)
    assert error_of(put(api, acme, to=1))["code"] == "worse_model"
    back = put(api, acme, to="previous").get_json()
    assert (back["version"], back["comparison"]["gain"]["points"]) == (1, -30.0)


def test_damaged_predictions_compare_nothing(api: Api, acme: Merchant) -> None:
    """One unreadable file would keep every later version out of production."""
    api.trained(acme, {FILE_NAME: [b"{}x"]}, name=NAME, version=1)
    api.trained(acme, predicted(9), name=NAME, version=2)
    put(api, acme, to=1)
    assert put(api, acme, to=2).get_json()["comparison"] is None
