"""Jobs over HTTP."""

from regraft.contract.job import JobSpec
from regraft.contract.resources import Job
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant

UNKNOWN = ("started_at", "finished_at", "model", "metrics", "transfer", "usage", "error")


def test_a_submitted_job(api: Api, acme: Merchant) -> None:
    """A merchant would not see what the service understood of the job."""
    dataset = api.ready_dataset(acme)
    body = {"name": "Home, autumn", "metadata": {"a": "b"}, "limits": {"max_minutes": 5}}
    response = api.submit(acme, dataset, **body)
    assert response.status_code == 202
    shown = response.get_json()
    assert set(shown) == set(Job.model_fields)
    assert [shown[name] for name in (*UNKNOWN, "progress", "status_reason")] == [None] * 9
    assert (shown["status"], shown["register_as"], shown["attempt"]) == (
        *("queued", "home-autumn", 0),
    )
    assert shown["queue"] == {"jobs_ahead": 0, "estimated_start": None}
    spec = JobSpec.model_validate(shown["spec"])
    assert (spec.dataset, spec.limits.max_minutes) == (dataset, 5)
    assert api.get(f"/v1/jobs/{shown['id']}", acme).get_json() == shown
    share = api.get("/v1/queue", acme).get_json()
    assert (share["queued"], share["devices"], share["share"]) == (1, 0, 1.0)
    assert "No worker" in share["why"]
    (event,) = api.get(f"/v1/jobs/{shown['id']}/events", acme).get_json()["data"]
    assert (event["type"], event["data"]["to"]) == ("status", "queued")
    assert api.get(f"/v1/jobs/{shown['id']}/checkpoints", acme).get_json()["data"] == []
    assert api.get(f"/v1/jobs/{shown['id']}/metrics", acme).get_json()["series"] == {}


def test_a_finished_job(api: Api, acme: Merchant) -> None:
    """A merchant would poll for ever, or not find the model."""
    trained = api.trained(acme, {"model.onnx": [b"x"]})
    shown = api.get(f"/v1/jobs/{trained.job_id}", acme).get_json()
    assert (shown["status"], shown["model"], shown["queue"]) == (
        *("succeeded", trained.model_id, None),
    )
    empty: dict[str, object] = {"validation": None, "test": None, "calibration": None, "leaks": []}
    empty["unknown_labels"] = []
    assert shown["metrics"] == empty
    assert shown["usage"] == {"device_seconds": 1.5, "num_images": 3}
    assert (shown["started_at"], shown["finished_at"]) == (
        *("1970-01-01T00:00:01.000Z", "1970-01-01T00:00:02.500Z"),
    )


def test_cancel(api: Api, acme: Merchant) -> None:
    """A job started by mistake could not be stopped."""
    job = api.submit(acme, api.ready_dataset(acme)).get_json()["id"]
    cancelled = api.post(f"/v1/jobs/{job}/cancel", acme)
    assert (cancelled.status_code, cancelled.get_json()["status"]) == (202, "cancelled")
    again = api.post(f"/v1/jobs/{job}/cancel", acme)
    assert (again.status_code, error_of(again)["code"]) == (409, "conflict")
    assert len(api.get(f"/v1/jobs/{job}/events", acme).get_json()["data"]) == 2


def test_pause_and_resume(api: Api, acme: Merchant) -> None:
    """A merchant could not let an urgent job go first."""
    job = api.submit(acme, api.ready_dataset(acme)).get_json()["id"]
    for verb, status in (("pause", "paused"), ("resume", "queued")):
        answer = api.post(f"/v1/jobs/{job}/{verb}", acme)
        assert (answer.status_code, answer.get_json()["status"]) == (202, status)
    refused = api.post(f"/v1/jobs/{job}/stop", acme)
    assert (refused.status_code, error_of(refused)["code"]) == (409, "conflict")
    assert "queued" in error_of(refused)["message"]


def test_lists_are_paged(api: Api, acme: Merchant) -> None:
    """A dashboard would miss jobs or show them twice."""
    dataset = api.ready_dataset(acme)
    ids = [api.submit(acme, dataset).get_json()["id"] for _ in range(3)]
    seen, cursor = [], ""
    for _ in range(3):
        page = api.get(f"/v1/jobs?limit=1{cursor}", acme).get_json()
        seen += [job["id"] for job in page["data"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    assert page["next_cursor"] is None
    forged = api.get("/v1/jobs?cursor=Zm9v", acme)
    assert (forged.status_code, error_of(forged)["param"]) == (422, "cursor")


def test_the_domains_of_a_job(api: Api, acme: Merchant, zenith: Merchant) -> None:
    """A merchant would not see what the job learns from, or learn from another's photos."""
    target = api.ready_dataset(acme, ["cup", "mug"])
    source, more = api.ready_dataset(acme, ["cup", "pot"]), api.ready_dataset(acme)
    wanted = {"source_dataset": source, "unlabelled_dataset": more, "strategy": {"type": "dann"}}
    job = api.submit(acme, target, **wanted).get_json()
    assert job["spec"]["source_dataset"] == source
    assert job["spec"]["unlabelled_dataset"] == more
    events = api.get(f"/v1/jobs/{job['id']}/events", acme).get_json()["data"]
    assert [event["level"] for event in events] == ["info", "warn"]
    own = api.ready_dataset(zenith, ["cup", "mug"])
    for param in ("source_dataset", "unlabelled_dataset"):
        refused = api.submit(zenith, own, **{**wanted, "source_dataset": more, param: source})
        assert refused.status_code == 404
    apart = api.ready_dataset(acme, ["pot", "pan"])
    refused = api.submit(acme, target, source_dataset=apart, strategy={"type": "dann"})
    assert (refused.status_code, error_of(refused)["code"]) == (422, "label_spaces_disjoint")
    assert error_of(refused)["param"] == "source_dataset"


def test_a_job_starts_from_a_model_of_ones_own(api: Api, acme: Merchant, zenith: Merchant) -> None:
    """A merchant would not see where training started, or start from another's model."""
    trained = api.trained(acme, {"model.safetensors": [b"x"]})
    base = {"model": trained.model_id}
    answer = api.submit(acme, trained.dataset_id, base=base)
    assert (answer.status_code, answer.get_json()["spec"]["base"]) == (202, base)
    refused = api.submit(zenith, api.ready_dataset(zenith), base=base)
    assert (refused.status_code, error_of(refused)["param"]) == (404, "base.model")


def test_a_job_that_ended_runs_again(api: Api, acme: Merchant) -> None:
    """After a fault of ours a merchant would have to find out again what it had sent."""
    dataset_id = api.ready_dataset(acme)
    asked = {
        "name": "home goods",
        "register_as": "goods",
        "priority": 3,
        "metadata": {"season": "FW26"},
        "strategy": {"type": "linear_probe"},
        "seed": 7,
        "exports": [],
    }
    first = api.submit(acme, dataset_id, **asked).get_json()
    at = f"/v1/jobs/{first['id']}/retry"
    early = api.post(at, acme)
    assert (early.status_code, error_of(early)["code"]) == (409, "conflict")
    api.post(f"/v1/jobs/{first['id']}/cancel", acme)
    key = {"Idempotency-Key": "again"}
    answers = [api.post(at, acme, headers=key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    second = answers[0].get_json()
    assert answers[1].get_json() == second
    assert second["id"] != first["id"]
    same = ("spec", "name", "register_as", "priority", "metadata")
    assert {name: second[name] for name in same} == {name: first[name] for name in same}
    assert second["status"] == "queued"
    events = api.get(f"/v1/jobs/{second['id']}/events", acme).get_json()["data"]
    assert first["id"] in events[-1]["message"]
