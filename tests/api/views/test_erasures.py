"""Deleting a dataset over HTTP: what it shows first, what it refuses, what is gone at once."""

from typing import Any

import pytest
from sqlalchemy import select, update

from db.models import Erasure, Job, ModelAlias
from db.repositories import aliases
from db.repositories.aliases import Place
from db.repositories.audit import OPERATOR
from regraft.contract.job import DATASETS
from tests.support.api import Api, Trained, error_of
from tests.support.merchants import Merchant

FILES = {
    "model.onnx": [b"weights"],
    "report.html": [b"a picture"],
    "bundle.zip": [b"all of it"],
}


@pytest.fixture
def trained(api: Api, acme: Merchant) -> Trained:
    """A model and the dataset that it was trained on."""
    return api.trained(acme, FILES, name="mugs")


def _preview(api: Api, acme: Merchant, dataset: str) -> dict[str, Any]:
    body = {"dataset": dataset, "models": "delete"}
    found: dict[str, Any] = api.post("/v1/erasures/preview", acme, json=body).get_json()
    return found


def _promote(api: Api, acme: Merchant) -> None:
    with api.database.write() as session:
        place = Place(acme.tenant_id, "mugs", "production")
        assert aliases.apply(session, place, aliases.plan(session, place, 1), OPERATOR)


def test_a_preview_changes_nothing_and_a_delete_does(
    api: Api, acme: Merchant, trained: Trained
) -> None:
    """A merchant would learn afterwards what else is gone."""
    api.add_image(acme, trained.dataset_id, 0, "ok")
    before = api.row_counts()
    preview = _preview(api, acme, trained.dataset_id)
    assert api.row_counts() == before
    assert (preview["num_images"], preview["blockers"]) == (1, [])
    assert preview["bytes"] > 0
    (affected,) = preview["affected"]
    assert (affected["id"], affected["made_from"]) == (trained.model_id, "trained")
    path = f"/v1/datasets/{trained.dataset_id}"
    answer = api.send("DELETE", f"{path}?models=delete", acme)
    assert answer.status_code == 202
    erasure = answer.get_json()
    assert (erasure["status"], erasure["models"]) == ("queued", "delete")
    assert erasure["deleted"]["models"] == 1
    assert api.get(f"/v1/models/{trained.model_id}", acme).status_code == 404
    assert api.get(path, acme).get_json()["status"] == "deleting"
    refused = api.submit(acme, trained.dataset_id)
    assert (refused.status_code, error_of(refused)["code"]) == (409, "dataset_not_ready")
    again = api.send("DELETE", path, acme).get_json()
    assert again["id"] == erasure["id"]
    assert api.get("/v1/erasures", acme).get_json()["data"] == [again]
    actions = [row["action"] for row in api.get("/v1/audit", acme).get_json()["data"]]
    assert actions == ["dataset.deleted", "model.deleted"]


def test_what_stands_in_the_way(api: Api, acme: Merchant, trained: Trained) -> None:
    """A running training would fail in its middle, or production answer no more."""
    path = f"/v1/datasets/{trained.dataset_id}"
    other = api.ready_dataset(acme)
    job_id = api.submit(acme, other).get_json()["id"]
    for field in DATASETS[1:]:
        with api.database.write() as session:
            spec = {"dataset": other, field: trained.dataset_id}
            session.execute(update(Job).where(Job.id == job_id).values(spec=spec))
        refused = api.send("DELETE", path, acme)
        assert (refused.status_code, error_of(refused)["code"]) == (409, "in_use")
        assert job_id in error_of(refused)["message"]
    with api.database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(status="cancelled"))
    _promote(api, acme)
    before = api.row_counts()
    refused = api.send("DELETE", f"{path}?models=delete", acme)
    assert "mugs@production" in error_of(refused)["message"]
    assert _preview(api, acme, trained.dataset_id)["blockers"] == [error_of(refused)["message"]]
    assert api.row_counts() == before
    assert api.send("DELETE", path, acme).status_code == 202


def _seen(api: Api, acme: Merchant, trained: Trained) -> list[Any]:
    """Return all that a merchant sees of a dataset, its model and the alias of another."""
    paths = (
        f"datasets/{trained.dataset_id}",
        f"datasets/{trained.dataset_id}/images",
        f"models/{trained.model_id}",
        f"models/{trained.model_id}/files/report.html",
    )
    with api.database.read() as session:
        back_to = session.scalars(select(ModelAlias.previous_id)).one()
    return [back_to, *(_answered(api, acme, path) for path in paths)]


def _answered(api: Api, acme: Merchant, path: str) -> bytes:
    answer = api.get(f"/v1/{path}", acme)
    return answer.data if answer.status_code == 200 else b""


@pytest.mark.parametrize("models", ["keep", "delete"])
def test_an_erasure_is_called_off(api: Api, acme: Merchant, trained: Trained, models: str) -> None:
    """One wrong id, and the photos of a season are gone before anybody can say no."""
    api.add_image(acme, trained.dataset_id, 0, "ok")
    _promote(api, acme)
    second = api.trained(acme, FILES, name="mugs", version=2)
    api.send("PUT", "/v1/models/mugs/aliases/production", acme, json={"to": 2})
    before = _seen(api, acme, trained)
    body = {"dataset": trained.dataset_id, "models": models}
    erasure = api.post("/v1/erasures", acme, json=body).get_json()
    assert _seen(api, acme, trained) != before
    path = f"/v1/erasures/{erasure['id']}"
    off = api.send("DELETE", path, acme)
    assert (off.status_code, off.get_json()["status"]) == (200, "cancelled")
    assert off.get_json()["finished_at"]
    assert set(off.get_json()["deleted"].values()) == {0}
    assert _seen(api, acme, trained) == before
    assert api.send("DELETE", path, acme).get_json() == off.get_json()
    trail = api.get("/v1/audit", acme).get_json()["data"]
    assert (trail[0]["action"], trail[0]["subject"]) == ("erasure.cancelled", erasure["id"])
    assert trail[0]["data"]["models"] == ([trained.model_id] if models == "delete" else [])
    assert api.submit(acme, trained.dataset_id).status_code == 202
    assert api.get(f"/v1/models/{second.model_id}", acme).status_code == 200


def test_after_one_that_was_called_off_comes_another(api: Api, acme: Merchant) -> None:
    """Who changed his mind once could never be rid of the photos."""
    dataset = api.ready_dataset(acme)
    made = []
    for _ in range(3):
        made.append(api.send("DELETE", f"/v1/datasets/{dataset}", acme).get_json()["id"])
        api.send("DELETE", f"/v1/erasures/{made[-1]}", acme)
    assert len(set(made)) == 3
    listed = api.get("/v1/erasures", acme).get_json()["data"]
    assert {one["status"] for one in listed} == {"cancelled"}
    last = api.send("DELETE", f"/v1/datasets/{dataset}", acme).get_json()
    assert (last["status"], last["id"] in made) == ("queued", False)


@pytest.mark.parametrize(
    ("status", "deleted", "words"),
    [
        ("running", {}, "let it end"),
        ("succeeded", {}, "upload the images again"),
        ("failed", {"images": 1}, "ask for it again"),
        ("queued", {"images": 1}, "deleted already"),
        ("queued", {"model_files": 2}, "deleted already"),
    ],
)
def test_what_has_begun_is_not_called_off(
    api: Api, acme: Merchant, status: str, deleted: dict[str, int], words: str
) -> None:
    """Half a dataset would look like a whole one."""
    dataset = api.ready_dataset(acme)
    erasure = api.send("DELETE", f"/v1/datasets/{dataset}", acme).get_json()["id"]
    with api.database.write() as session:
        session.execute(update(Job).where(Job.kind == "erase").values(status=status))
        session.execute(update(Erasure).values(deleted=deleted))
    refused = api.send("DELETE", f"/v1/erasures/{erasure}", acme)
    assert (refused.status_code, error_of(refused)["code"]) == (409, "conflict")
    assert words in error_of(refused)["message"]
    assert api.get(f"/v1/datasets/{dataset}", acme).get_json()["status"] == "deleting"
    with api.database.read() as session:
        assert session.scalars(select(Job.status).where(Job.kind == "erase")).one() == status


def test_models_of_models_go_too(api: Api, acme: Merchant, trained: Trained) -> None:
    """What was learned from the photos would live on in a model that started from theirs."""
    second = api.trained(acme, FILES, name="plates")
    with api.database.write() as session:
        spec = {"dataset": second.dataset_id, "base": {"model": trained.model_id}}
        session.execute(update(Job).where(Job.id == second.job_id).values(spec=spec))
    affected = _preview(api, acme, trained.dataset_id)["affected"]
    assert [one["id"] for one in affected] == [trained.model_id, second.model_id]
    api.send("DELETE", f"/v1/datasets/{trained.dataset_id}?models=delete", acme)
    assert api.get(f"/v1/models/{second.model_id}", acme).status_code == 404
    assert api.get(f"/v1/datasets/{second.dataset_id}", acme).status_code == 200


def test_an_erasure_that_failed_is_tried_again(api: Api, acme: Merchant) -> None:
    """Half-erased photos would stay, with nobody to ask."""
    dataset = api.ready_dataset(acme)
    body = {"dataset": dataset}
    first = api.post("/v1/erasures", acme, json=body).get_json()
    with api.database.write() as session:
        failed = {"status": "failed", "status_reason": "The worker stopped answering."}
        session.execute(update(Job).where(Job.kind == "erase").values(failed))
    shown = api.get(f"/v1/erasures/{first['id']}", acme).get_json()
    assert (shown["status"], shown["status_reason"]) == ("failed", failed["status_reason"])
    again = api.post("/v1/erasures", acme, json=body).get_json()
    assert (again["id"], again["status"]) == (first["id"], "queued")
