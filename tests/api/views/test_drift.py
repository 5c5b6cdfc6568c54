"""Drift over HTTP: from no reference to a job that can be sent as it is."""

from collections.abc import Callable

import pytest

from db.lifecycle import drift
from db.lifecycle.drift import Judgement, Tally
from regraft.contract.drift import REFERENCE_FILE, WINDOW, Drift
from tests.support.api import Api, Trained
from tests.support.merchants import Merchant

FILES = {"model.safetensors": [b"weights"], REFERENCE_FILE: [b"numbers"]}
Ask = Callable[[int, float], None]


@pytest.fixture
def made(api: Api, acme: Merchant) -> Trained:
    """A model with a reference."""
    return api.trained(acme, FILES, name="home-goods")


@pytest.fixture
def ask(api: Api, acme: Merchant, made: Trained) -> Ask:
    """A function that leaves so many photos, whose window would be so far away."""

    def leave(count: int, shift: float) -> None:
        found = Judgement(shift, 1e-6)
        with api.database.write() as session:
            tally = Tally([0.0], [count])
            drift.add(session, acme.tenant_id, made.model_id, tally, lambda _tally: found)

    return leave


def _drift(api: Api, merchant: Merchant, model: str) -> Drift:
    return Drift.model_validate(api.get(f"/v1/models/{model}/drift", merchant).get_json())


def test_a_model_without_a_reference_says_so(api: Api, acme: Merchant) -> None:
    """A merchant would wait for a warning that cannot come."""
    bare = api.trained(acme, {"model.onnx": [b"x"]}, name="bare")
    found = _drift(api, acme, bare.model_id)
    assert (found.status, found.windows, found.suggested_job) == ("unavailable", [], None)


def test_photos_are_collected_then_judged(
    api: Api, acme: Merchant, made: Trained, ask: Ask
) -> None:
    """A warning must be where a merchant looks: on the model."""
    assert _drift(api, acme, "home-goods:1").status == "collecting"
    ask(40, 0.0)
    assert _drift(api, acme, made.model_id).collected == 40
    ask(WINDOW, 0.1)
    found = _drift(api, acme, made.model_id)
    assert (found.status, found.collected, len(found.windows)) == ("ok", 0, 1)
    assert api.get(f"/v1/models/{made.model_id}", acme).get_json()["warnings"] == []
    ask(WINDOW, 1.5)
    found = _drift(api, acme, made.model_id)
    assert (found.status, [one.shift for one in found.windows]) == ("drifted", [1.5, 0.1])
    for shown in (
        api.get(f"/v1/models/{made.model_id}", acme).get_json(),
        api.get("/v1/models", acme).get_json()["data"][0],
    ):
        assert [one["code"] for one in shown["warnings"]] == ["drift"]


def test_the_suggested_job_is_taken_as_it_is(
    api: Api, acme: Merchant, zenith: Merchant, made: Trained, ask: Ask
) -> None:
    """A suggestion that is refused is none."""
    ask(WINDOW, 1.5)
    suggested = _drift(api, acme, made.model_id).suggested_job
    assert suggested is not None
    answer = api.post("/v1/jobs", acme, json=suggested)
    assert answer.status_code == 202
    job = answer.get_json()
    assert job["spec"]["base"] == {"model": made.model_id}
    assert (job["register_as"], job["spec"]["dataset"]) == ("home-goods", made.dataset_id)
    assert api.post("/v1/jobs", zenith, json=suggested).status_code == 404


def test_nothing_is_suggested_that_could_not_run(
    api: Api, acme: Merchant, made: Trained, ask: Ask
) -> None:
    """The dataset is being erased: a job on it would be refused."""
    ask(WINDOW, 1.5)
    erased = api.post("/v1/erasures", acme, json={"dataset": made.dataset_id})
    assert erased.status_code == 202
    found = _drift(api, acme, made.model_id)
    assert (found.status, found.suggested_job) == ("drifted", None)


def test_it_goes_with_the_model(api: Api, acme: Merchant, made: Trained, ask: Ask) -> None:
    """What is known of a merchant's traffic would outlive what it was about."""
    ask(40, 0.0)
    before = api.row_counts()["drift_window"]
    assert api.send("DELETE", f"/v1/models/{made.model_id}", acme).status_code == 200
    assert (before, api.row_counts()["drift_window"]) == (1, 0)
