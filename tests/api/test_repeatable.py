"""`Idempotency-Key` over HTTP."""

from concurrent.futures import ThreadPoolExecutor

from tests.support.api import Api, error_of, zipped
from tests.support.merchants import Merchant


def test_fifty_submissions_at_once_make_one_job(api: Api, acme: Merchant) -> None:
    """A client that retries too eagerly would train fifty times."""
    dataset = api.ready_dataset(acme)
    headers = {**acme.headers, "Idempotency-Key": "autumn"}

    def submit(_: int) -> tuple[int, bytes]:
        client = api.app.test_client()
        response = client.post("/v1/jobs", headers=headers, json={"dataset": dataset})
        return response.status_code, response.data

    with ThreadPoolExecutor(10) as pool:
        answers = set(pool.map(submit, range(50)))
    ((status, _body),) = answers
    assert status == 202
    assert len(api.get("/v1/jobs", acme).get_json()["data"]) == 1


def test_the_same_meaning_is_the_same_request(api: Api, acme: Merchant) -> None:
    """A retry that orders its fields differently would be refused."""
    dataset = api.ready_dataset(acme)
    headers = {"Idempotency-Key": "k"}
    first = api.post("/v1/jobs", acme, json={"dataset": dataset, "seed": 0}, headers=headers)
    again = api.post("/v1/jobs", acme, json={"dataset": dataset}, headers=headers)
    assert first.get_json() == again.get_json()
    other = api.post("/v1/jobs", acme, json={"dataset": dataset, "seed": 1}, headers=headers)
    assert other.status_code == 422
    error = error_of(other)
    assert (error["code"], error["param"]) == ("idempotency_mismatch", "Idempotency-Key")


def test_an_upload_is_repeated_by_its_bytes(api: Api, acme: Merchant, zenith: Merchant) -> None:
    """An upload whose answer was lost would be stored and checked twice."""
    headers = {"Idempotency-Key": "k"}
    first = api.upload(acme, headers=headers).get_json()
    before = api.row_counts()
    assert api.upload(acme, headers=headers).get_json() == first
    other = zipped({"mug/x.jpg": b"1", "cup/y.jpg": b"2"})
    assert api.upload(acme, other, headers=headers).status_code == 422
    assert api.upload(acme, form={"name": "another"}, headers=headers).status_code == 422
    assert api.row_counts() == before
    assert api.upload(zenith, headers=headers).get_json()["id"] != first["id"]


def test_keys_that_are_no_keys(api: Api, acme: Merchant) -> None:
    """A key that the service cuts or changes would match another request."""
    dataset = api.ready_dataset(acme)
    for key in ("", "x" * 256, "\u00e9", "a\tb"):
        headers = {"Idempotency-Key": key}
        response = api.post("/v1/jobs", acme, json={"dataset": dataset}, headers=headers)
        assert response.status_code == 422
        assert error_of(response)["param"] == "Idempotency-Key"
