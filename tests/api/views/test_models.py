"""Models over HTTP; downloads have tests of their own."""

import hashlib

from regraft.contract.resources import Model
from tests.support.api import Api
from tests.support.merchants import Merchant


def test_a_model_and_its_files(api: Api, acme: Merchant) -> None:
    """A merchant could not tell what to download, nor check what came."""
    trained = api.trained(acme, {"model.onnx": [b"ab", b"cd"], "labels.json": [b"[]"]})
    shown = api.get(f"/v1/models/{trained.model_id}", acme).get_json()
    model = Model.model_validate(shown)
    assert (model.job, model.labels, model.aliases) == (trained.job_id, ["cup", "mug"], [])
    assert [file.name for file in model.files] == ["labels.json", "model.onnx"]
    assert (model.files[1].bytes, model.files[1].sha256) == (
        *(4, hashlib.sha256(b"abcd").hexdigest()),
    )
    assert api.get("/v1/models", acme).get_json()["data"] == [shown]
    path = f"/v1/models/{trained.model_id}/files"
    assert api.get(path, acme).get_json()["data"] == shown["files"]
    first = api.get(f"{path}?limit=1", acme).get_json()
    rest = api.get(f"{path}?limit=1&cursor={first['next_cursor']}", acme).get_json()
    assert [first["data"][0], rest["data"][0]] == shown["files"]
    assert rest["has_more"] is False
