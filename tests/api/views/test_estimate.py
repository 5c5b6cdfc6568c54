"""Estimates: a submit that submits nothing, and refuses what a submit refuses."""

from tests.support.api import Api, error_of
from tests.support.merchants import Merchant


def test_what_a_submit_would_do(api: Api, acme: Merchant) -> None:
    """A merchant could only learn what a job would be by paying for it."""
    dataset = api.ready_dataset(acme)
    body = {"dataset": dataset, "hyperparameters": {"epochs": 7}}
    before = api.row_counts()
    response = api.post("/v1/jobs/estimate", acme, json=body)
    assert response.status_code == 200
    found = response.get_json()
    assert api.row_counts() == before
    assert (found["object"], found["warnings"]) == ("job.estimate", [])
    assert found["typical_seconds"] > 0
    assert found["queue"] == {"jobs_ahead": 0, "estimated_start": None}
    job = api.submit(acme, dataset, hyperparameters={"epochs": 7}).get_json()
    assert found["spec"] == job["spec"]
    again = api.post("/v1/jobs/estimate", acme, json=body).get_json()
    assert again["queue"]["jobs_ahead"] == 1


def test_an_estimate_refuses_what_a_submit_refuses(
    api: Api, acme: Merchant, zenith: Merchant
) -> None:
    """A job that was said to be fine would be refused when it counts."""
    mine, theirs = api.ready_dataset(acme), api.ready_dataset(zenith)
    processing = api.upload(acme).get_json()["id"]
    for body in (
        {"dataset": theirs},
        {"dataset": processing},
        {"dataset": mine, "strategy": {"type": "magic"}},
        {"dataset": mine, "hyperparameters": {"epochs": 0}},
        {},
    ):
        said = error_of(api.post("/v1/jobs/estimate", acme, json=body))
        meant = error_of(api.post("/v1/jobs", acme, json=body))
        assert {**said, "request_id": ""} == {**meant, "request_id": ""}
