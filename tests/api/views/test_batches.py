"""Batches over HTTP: submitted, shown, steered, downloaded, and deleted with their cause."""

import hashlib

import pytest
from sqlalchemy import select

from db.models import BatchFile, BatchPart
from regraft.contract.batch import Batch
from tests.support.api import Api, Trained
from tests.support.merchants import Merchant

PARTS = [b"a row\n", b"another\n"]


@pytest.fixture
def made(api: Api, acme: Merchant) -> Trained:
    """A dataset and a model that can answer."""
    return api.trained(acme, {"model.safetensors": [b"weights"]}, name="home-goods")


def test_a_batch_is_queued_with_the_model_that_was_meant(
    api: Api, acme: Merchant, made: Trained
) -> None:
    """An alias that moves would let another model answer."""
    body = {"dataset": made.dataset_id, "model": "home-goods:1", "format": "csv", "name": "spring"}
    headers = {"Idempotency-Key": "once"}
    first = api.post("/v1/batches", acme, json=body, headers=headers)
    assert first.status_code == 202
    batch = Batch.model_validate(first.get_json())
    assert (batch.model, batch.dataset, batch.format) == (made.model_id, made.dataset_id, "csv")
    assert (batch.status, batch.name, batch.top, batch.file) == ("queued", "spring", 3, None)
    assert batch.queue is not None
    again = api.post("/v1/batches", acme, json=body, headers=headers)
    assert again.get_json()["id"] == batch.id
    assert api.get(f"/v1/batches/{batch.id}", acme).get_json() == first.get_json()
    for path in ("", f"?model={made.model_id}", f"?dataset={made.dataset_id}"):
        assert [one["id"] for one in _data(api, acme, path)] == [batch.id]
    assert _data(api, acme, "?model=md_01k8zr2h6j8zt4e7g3n5r9v1wb") == []
    assert api.get("/v1/jobs", acme).get_json()["data"][0]["id"] == made.job_id
    assert api.get(f"/v1/jobs/{batch.id}", acme).status_code == 404
    assert api.get(f"/v1/batches/{made.job_id}", acme).status_code == 404


def _data(api: Api, merchant: Merchant, query: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = api.get(f"/v1/batches{query}", merchant).get_json()["data"]
    return found


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"model": "home-goods:9"}, 404),
        ({"model": "../etc"}, 422),
        ({"dataset": "ds_01k8zr0m5e9tq4x7c2v6b8n3hd"}, 404),
        ({"format": "xlsx"}, 422),
        ({"top": 0}, 422),
        ({"strategy": "auto"}, 422),
    ],
)
def test_what_cannot_run_is_said_at_once(
    api: Api, acme: Merchant, made: Trained, change: dict[str, object], status: int
) -> None:
    """A merchant would wait for a batch that was bound to fail."""
    body = {"dataset": made.dataset_id, "model": made.model_id, **change}
    answer = api.post("/v1/batches", acme, json=body)
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (status, *change)


def test_a_model_without_weights_answers_nothing(api: Api, acme: Merchant) -> None:
    """The batch would fail on a worker, hours later."""
    bare = api.trained(acme, {"model.onnx": [b"x"]}, name="bare")
    body = {"dataset": bare.dataset_id, "model": bare.model_id}
    answer = api.post("/v1/batches", acme, json=body)
    assert (answer.status_code, answer.get_json()["error"]["param"]) == (409, "model")


def test_a_batch_is_steered_and_run_again(api: Api, acme: Merchant, made: Trained) -> None:
    """What was submitted by mistake would take its turn all the same."""
    body = {"dataset": made.dataset_id, "model": made.model_id, "metadata": {"season": "FW26"}}
    batch_id = api.post("/v1/batches", acme, json=body).get_json()["id"]
    path = f"/v1/batches/{batch_id}"
    assert api.post(f"{path}/retry", acme, json={}).status_code == 409
    assert api.send("DELETE", f"{path}/file", acme).status_code == 409
    assert api.post(f"{path}/pause", acme, json={}).get_json()["status"] == "paused"
    assert api.post(f"{path}/resume", acme, json={}).get_json()["status"] == "queued"
    assert api.post(f"{path}/cancel", acme, json={}).get_json()["status"] == "cancelled"
    assert api.post(f"{path}/cancel", acme, json={}).status_code == 409
    again = api.post(f"{path}/retry", acme, json={}).get_json()
    assert (again["status"], again["metadata"]) == ("queued", {"season": "FW26"})
    told = [one["message"] for one in api.get(f"{path}/events", acme).get_json()["data"]]
    assert told[0] == "Queued."
    stream = api.get(f"{path}/events", acme, headers={"Accept": "text/event-stream"})
    assert "Cancelled" in stream.get_data(as_text=True)


def test_answers_are_downloaded_in_parts_and_whole(
    api: Api, acme: Merchant, zenith: Merchant, made: Trained
) -> None:
    """A broken connection would cost the whole file, or a byte of it."""
    batch_id = api.answered(acme, made, PARTS)
    path, whole = f"/v1/batches/{batch_id}/file", b"".join(PARTS)
    shown = api.get(f"/v1/batches/{batch_id}", acme).get_json()["file"]
    sha256 = hashlib.sha256(whole).hexdigest()
    assert (shown["name"], shown["bytes"], shown["sha256"]) == ("predictions.jsonl", 14, sha256)
    assert (shown["num_rows"], shown["num_errors"]) == (4, 2)
    answer = api.get(path, acme)
    assert (answer.data, answer.headers["ETag"]) == (whole, f'"{sha256}"')
    part = api.get(path, acme, headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.data) == (206, whole[4:10])
    fresh = api.get(path, acme, headers={"If-None-Match": answer.headers["ETag"]})
    assert fresh.status_code == 304
    assert api.get(path, zenith).status_code == 404
    gone = api.send("DELETE", path, acme).get_json()
    assert (gone["id"], gone["object"]) == (batch_id, "batch.file")
    assert api.get(path, acme).status_code == 404
    assert api.get(f"/v1/batches/{batch_id}", acme).get_json()["file"] is None


def _kept(api: Api) -> tuple[int, int]:
    with api.database.read() as session:
        files = session.scalars(select(BatchFile)).all()
        return len(files), len(session.scalars(select(BatchPart)).all())


def test_answers_go_with_the_model(api: Api, acme: Merchant, made: Trained) -> None:
    """What a deleted model said would count against the quota, and nobody would know why."""
    api.answered(acme, made, PARTS)
    assert api.send("DELETE", f"/v1/models/{made.model_id}", acme).status_code == 200
    assert _kept(api) == (0, 0)


def test_what_a_batch_needs_stays_while_it_waits(api: Api, acme: Merchant, made: Trained) -> None:
    """The batch would fail because somebody tidied up."""
    body = {"dataset": made.dataset_id, "model": made.model_id}
    batch_id = api.post("/v1/batches", acme, json=body).get_json()["id"]
    answer = api.send("DELETE", f"/v1/models/{made.model_id}", acme)
    assert answer.status_code == 409
    assert batch_id in answer.get_json()["error"]["message"]
    answer = api.post("/v1/erasures", acme, json={"dataset": made.dataset_id})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (409, "in_use")
