"""JSON that two readers could take for two things, and bodies that are too much."""

import json

from tests.support.api import Api, error_of
from tests.support.merchants import Merchant

BAD_JSON = {
    "nothing": b"",
    "broken": b'{"dataset": ',
    "text": b"dataset=1",
    "array": b"[]",
    "string": b'"{}"',
    "number": b"1",
    "null": b"null",
    "repeated name": b'{"name": "a", "name": "b"}',
    "repeated name below": b'{"base": {"backbone": "a", "backbone": "b"}}',
    "NaN": b'{"seed": NaN}',
    "Infinity": b'{"seed": -Infinity}',
    "beyond a double": b'{"seed": 1e999}',
    "long number": b'{"seed": ' + b"9" * 10_000 + b"}",
    "20,000 levels": b'{"name":' * 20_000 + b"1" + b"}" * 20_000,
    "20,000 arrays": b'{"name":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "a"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "two objects": b"{}{}",
}


def test_what_is_not_one_json_object(api: Api, acme: Merchant) -> None:
    """A job would be trained with the half of the body that happened to be read."""
    before = api.row_counts()
    for name, data in BAD_JSON.items():
        response = api.post("/v1/jobs", acme, data=data, content_type="application/json")
        assert (name, response.status_code) == (name, 400)
        assert error_of(response)["code"] == "invalid_json"
    assert api.row_counts() == before


BAD_VALUES: dict[str, tuple[dict[str, object], str]] = {
    "lone surrogate": ({"name": "\ud800"}, "name"),
    "NUL": ({"name": "a\0b"}, "name"),
    "long text": ({"name": "x" * 201}, "name"),
    "surrogate in an unknown field": ({"\udfff": 1}, ""),
    "surrogate in an id": ({"dataset": "ds_\ud800"}, "dataset"),
    "unknown field": ({"learning_rate": 0.1}, "learning_rate"),
    "wrong type": ({"seed": "5"}, "seed"),
    "true for a number": ({"seed": True}, "seed"),
    "metadata key": ({"metadata": {"\0": "x"}}, "metadata"),
}


def test_values_that_no_field_takes(api: Api, acme: Merchant) -> None:
    """A text that the database refuses would be a fault of ours."""
    dataset = api.ready_dataset(acme)
    before = api.row_counts()
    for name, (fields, param) in BAD_VALUES.items():
        body = json.dumps({"dataset": dataset, **fields})
        response = api.post("/v1/jobs", acme, data=body, content_type="application/json")
        assert (name, response.status_code) == (name, 422)
        error = error_of(response)
        assert error["code"] == "validation_failed"
        assert any(str(detail["param"]).startswith(param) for detail in error["details"]), name
    assert api.row_counts() == before


def test_media_types(api: Api, acme: Merchant) -> None:
    """A form would be read as JSON, or compressed bytes as text."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"):
        response = api.post("/v1/jobs", acme, data=b"{}", content_type=kind)
        assert response.status_code == 415
        assert error_of(response)["code"] == "unsupported_media_type"
    packed = api.post("/v1/jobs", acme, json={}, headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 415
    charset = "application/json; charset=utf-8"
    assert api.post("/v1/jobs", acme, data=b"{}", content_type=charset).status_code == 422


def test_a_body_over_the_limit(api: Api, acme: Merchant) -> None:
    """One request could fill the memory of the process."""
    data = b'{"name": "' + b"x" * 1_100_000 + b'"}'
    response = api.post("/v1/jobs", acme, data=data, content_type="application/json")
    assert response.status_code == 413
    assert error_of(response)["code"] == "payload_too_large"


def test_parameters_of_the_address(api: Api, acme: Merchant) -> None:
    """A misspelt filter would list everything, and look as if nothing had matched."""
    for query, param in {
        "limit=0": "limit",
        "limit=101": "limit",
        "limit=-1": "limit",
        "limit=1e9": "limit",
        "limit=x": "limit",
        "cursor=x": "cursor",
        "stauts=queued": "stauts",
        "status=done": "status",
        "dataset=' or 1=1": "dataset",
        "limit=5&limit=6": "limit",
        "dataset=%00": "dataset",
        "cursor=%ff%00": "cursor",
        "limit=": "limit",
    }.items():
        response = api.get(f"/v1/jobs?{query}", acme)
        assert response.status_code == 422, query
        assert error_of(response)["param"] == param
