"""Every command against a real HTTP service: what it prints, and how it ends."""

import hashlib
import json
from collections import deque
from pathlib import Path

import pytest
from flask import Response

from regraft.contract.errors import ErrorCode, JobError
from regraft.contract.ids import new_id
from regraft.contract.job import JobSubmission
from regraft.contract.verdict import Verdict
from tests.regraft import examples
from tests.regraft.cli.conftest import Run
from tests.regraft.standin import Standin, error

DATASET = new_id("ds")


def body(service: Standin) -> dict[str, object]:
    """Return the last body sent to the jobs' route."""
    value = json.loads(service.of("POST", "/v1/jobs")[-1].body)
    assert isinstance(value, dict)
    return value


def test_push_waits_and_shows_the_classes(run: Run, photos: Path) -> None:
    """The user learns here how many images the service could use."""
    ran = run("datasets", "push", photos, "--name", "autumn")
    assert ran.code == 0
    assert "4 kept, 1 rejected" in ran.out
    assert "watch the mugs" in ran.out
    assert "Uploading" in ran.err
    assert "--rejected" in ran.err


def test_push_as_json(run: Run, photos: Path) -> None:
    """A script reads stdout as one document, and needs the id."""
    ran = run("datasets", "push", photos, "--metadata", "season=FW26", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["status"] == "ready"
    assert ran.json["id"].startswith("ds_")


def test_push_without_waiting(run: Run, photos: Path) -> None:
    """Large sets take a while; a script may do something else."""
    assert run("datasets", "push", photos, "--no-wait", "--json").json["status"] == "processing"


def test_push_of_nothing_is_a_usage_error(run: Run, service: Standin, tmp_path: Path) -> None:
    """A wrong path must not look like a fault of the service."""
    ran = run("datasets", "push", tmp_path / "missing")
    assert ran.code == 2
    assert "does not exist" in ran.err
    assert service.seen == []


def test_datasets_are_listed_and_shown(run: Run, service: Standin) -> None:
    """Ids must not be cut, however narrow the pipe."""
    made = [examples.dataset(f"set {number}") for number in range(3)]
    service.datasets = {one.id: deque([one]) for one in made}
    ran = run("datasets", "list", "--limit", "2")
    assert made[0].id in ran.out
    assert made[2].id not in ran.out
    assert len(run("datasets", "list", "--json").json["data"]) == 3
    assert "mug" in run("datasets", "show", made[0].id).out


def test_rejected_images_are_found(run: Run, service: Standin) -> None:
    """The user must see which photos to take again."""
    dataset = examples.dataset()
    service.datasets = {dataset.id: deque([dataset])}
    service.images = [examples.image(Verdict.OK)] * 3 + [examples.image(Verdict.TRUNCATED, "a.jpg")]
    ran = run("datasets", "images", dataset.id, "--rejected")
    assert "truncated" in ran.out
    assert "a.jpg" in ran.out
    assert ran.out.count("img_") == 1
    only = run("datasets", "images", dataset.id, "--verdict", "ok", "--json").json["data"]
    assert len(only) == 3


def test_submit_and_follow(run: Run, service: Standin) -> None:
    """What the service is for, on one screen."""
    ran = run("jobs", "submit", "--dataset", DATASET, "--name", "autumn", "--follow")
    assert ran.code == 0
    for said in ("91.0%", "62.0% - 98.0%", "mug", "+51.0 points", "adapting is better", "Verdict"):
        assert said in ran.out
    assert f"regraft models download {service.model.id}" in ran.out
    assert "features 42%" in ran.err


def test_follow_as_json(run: Run) -> None:
    """Progress on stdout would break the parser at the other end of the pipe."""
    ran = run("jobs", "submit", "--dataset", DATASET, "--follow", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json["status"] == "succeeded"
    assert ran.json["metrics"]["test"]["accuracy"] == 0.91


def test_options_become_the_body(run: Run, service: Standin, tmp_path: Path) -> None:
    """An option that is lost on the way trains another model than the one asked for."""
    spec = tmp_path / "job.json"
    spec.write_text(json.dumps({"seed": 1, "name": "from file", "limits": {"max_minutes": 5}}))
    ran = run(
        *("jobs", "submit", "--spec", spec, "--dataset", DATASET, "--name", "from option"),
        *("--backbone", "efficientnet_lite0", "--strategy", "linear_probe"),
        *("--epochs", "20", "--batch-size", "auto", "--learning-rate", "0.01"),
        *("--compare", "from_scratch", "--register-as", "mugs", "--metadata", "a=b=c"),
        *("--set", "hyperparameters.weight_decay=0.1", "--set", "validation.fraction=0.3"),
    )
    assert ran.code == 0, ran.err
    assert body(service) == {
        "seed": 1,
        "name": "from option",
        "limits": {"max_minutes": 5},
        "dataset": DATASET,
        "base": {"backbone": "efficientnet_lite0"},
        "strategy": {"type": "linear_probe"},
        "hyperparameters": {
            "epochs": 20,
            "batch_size": "auto",
            "learning_rate": 0.01,
            "weight_decay": 0.1,
        },
        "comparisons": ["from_scratch"],
        "register_as": "mugs",
        "metadata": {"a": "b=c"},
        "validation": {"fraction": 0.3},
    }


def test_options_of_another_domain(run: Run, service: Standin) -> None:
    """A job would learn from the dataset alone, and start where it was not meant to."""
    source, unlabelled, model = new_id("ds"), new_id("ds"), new_id("md")
    ran = run(
        *("jobs", "submit", "--dataset", DATASET, "--source-dataset", source),
        *("--unlabelled-dataset", unlabelled, "--base-model", model, "--strategy", "coral"),
    )
    assert ran.code == 0, ran.err
    assert body(service) == {
        "dataset": DATASET,
        "source_dataset": source,
        "unlabelled_dataset": unlabelled,
        "base": {"model": model},
        "strategy": {"type": "coral"},
    }
    ran = run("jobs", "submit", "--dataset", DATASET, "--base-model", model, "--backbone", "vgg16")
    assert ran.code == 2
    assert "not both" in ran.err


def test_a_spec_comes_from_stdin(run: Run, service: Standin) -> None:
    """Scripts pipe what they generate."""
    ran = run("jobs", "submit", "--spec", "-", "--json", stdin=json.dumps({"dataset": DATASET}))
    assert ran.code == 0
    assert body(service) == {"dataset": DATASET}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--dataset", DATASET, "--set", "novalue"],
        ["--dataset", DATASET, "--set", "dataset.x=1"],
        ["--dataset", DATASET, "--metadata", "x"],
        ["--spec", "missing.json"],
        ["--dataset", DATASET, "--bogus"],
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_a_wrong_command_line_is_code_2(
    run: Run, service: Standin, arguments: list[str], as_json: bool
) -> None:
    """A script must tell its own typo from a refusal."""
    ran = run("jobs", "submit", *arguments, *(["--json"] if as_json else []))
    assert ran.code == 2
    assert service.seen == []
    if as_json:
        assert ran.error["code"] == "usage"
    else:
        assert ran.out == ""
        assert ran.err


@pytest.mark.parametrize("text", ["[1]", '{"seed": NaN}', "{", ""])
def test_a_broken_spec_is_named(run: Run, tmp_path: Path, text: str) -> None:
    """The fault is in the file, so the file must be named."""
    spec = tmp_path / "job.json"
    spec.write_text(text)
    ran = run("jobs", "submit", "--spec", spec, "--dataset", DATASET)
    assert ran.code == 2
    assert "job.json" in ran.err


def test_a_refusal_names_field_remedy_and_request(run: Run) -> None:
    """One clear error, not a stack trace."""
    ran = run("jobs", "submit", "--dataset", DATASET, "--learning-rate", "-0.1", "--epochs", "0")
    assert (ran.code, ran.out) == (1, "")
    assert "Error: the body cannot be used" in ran.err
    assert "hyperparameters.learning_rate: Input should be greater than 0" in ran.err
    assert "hyperparameters.epochs: Input should be greater than or equal to 1" in ran.err
    assert "Correct the fields" in ran.err
    assert "req_42" in ran.err


def test_a_refusal_as_json_is_the_envelope(run: Run) -> None:
    """A script reads the path of the field from it."""
    ran = run("jobs", "submit", "--dataset", "nonsense", "--json")
    assert (ran.code, ran.err) == (1, "")
    assert ran.error["code"] == "validation_failed"
    assert ran.error["param"] == "dataset"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_failed_job_is_code_1_with_its_reason(run: Run, service: Standin, as_json: bool) -> None:
    """A nightly script must stop, and whoever reads its log must know what to do."""
    failure = JobError.of(ErrorCode.DIVERGED, "the loss became infinite").model_dump(by_alias=True)
    failed = examples.job(JobSubmission(dataset=DATASET), "failed", error=failure)
    service.jobs[failed.id] = deque([failed])
    ran = run("jobs", "follow", failed.id, *(["--json"] if as_json else []))
    assert ran.code == 1
    if as_json:
        assert ran.error["code"] == "diverged"
        assert ran.json["job"]["id"] == failed.id
    else:
        assert "the loss became infinite" in ran.err
        assert "Lower the learning rate" in ran.err


def test_jobs_are_listed_shown_and_cancelled(run: Run, service: Standin) -> None:
    """The rest of a job's life."""
    job = run("jobs", "submit", "--dataset", DATASET, "--json").json["id"]
    service.events = [examples.event("features computed")]
    assert job in run("jobs", "list", "--status", "queued").out
    assert "linear_probe on efficientnet_lite0" in run("jobs", "show", job).out
    assert "features computed" in run("jobs", "events", job).out
    for verb, status in (("pause", "paused"), ("resume", "queued"), ("stop", "stopping")):
        assert run("jobs", verb, job, "--json").json["status"] == status
    assert run("jobs", "cancel", job, "--json").json["status"] == "cancelled"
    assert [one["step"] for one in run("jobs", "checkpoints", job, "--json").json["data"]] == [
        20,
        10,
    ]
    assert "1234" in run("jobs", "checkpoints", job).out
    missing = run("jobs", "show", new_id("job"))
    assert missing.code == 1
    assert "there is no such thing" in missing.err


def test_a_model_is_shown_and_downloaded(run: Run, service: Standin, tmp_path: Path) -> None:
    """The end of the way: a file on the merchant's disk, with the right bytes."""
    assert "home-goods:3" in run("models", "list").out
    shown = run("models", "show", "home-goods@production").out
    assert service.model.files[0].sha256 in shown
    ran = run("models", "download", service.model.id, "--to", tmp_path / "new")
    assert ran.code == 0
    path = Path(ran.out.strip())
    assert path == tmp_path / "new" / "bundle.zip"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == service.model.files[0].sha256
    again = run(
        "models", "download", "home-goods:3", "--file", "labels.json", "--to", tmp_path, "--json"
    )
    assert again.json == {
        "object": "download",
        "path": str(tmp_path / "labels.json"),
        "bytes": 2,
    }


def test_wrong_bytes_are_code_1(run: Run, service: Standin, tmp_path: Path) -> None:
    """A deployment must not go on with a model that was tampered with."""
    service.files["labels.json"] = b"{}"
    ran = run("models", "download", service.model.id, "--file", "labels.json", "--to", tmp_path)
    assert ran.code == 1
    assert "sha256" in ran.err
    assert list(tmp_path.glob("labels*")) == []


def test_the_catalogue_is_shown(run: Run) -> None:
    """What --backbone and --strategy may be."""
    ran = run("catalog")
    assert "efficientnet_lite0" in ran.out
    assert "linear_probe" in ran.out
    assert run("catalog", "--json").json["backbones"][0]["input_size"] == 224


def test_a_services_text_cannot_drive_the_terminal(run: Run) -> None:
    """A product name with an escape sequence would rewrite the screen."""
    ran = run("whoami")
    assert "Acme [bold]" in ran.out
    assert "\x1b" not in ran.out


def test_no_service_is_code_3(bare: Run) -> None:
    """A script must tell `try later` from `this is wrong`."""
    ran = bare("--url", "http://127.0.0.1:1", "--api-key", "rg_x", "whoami")
    assert ran.code == 3
    assert "cannot reach http://127.0.0.1:1" in ran.err
    as_json = bare("--url", "http://127.0.0.1:1", "--api-key", "rg_x", "whoami", "--json")
    assert (as_json.code, as_json.error["code"]) == (3, "unreachable")


def test_a_service_that_goes_away_says_how_to_look_again(run: Run, service: Standin) -> None:
    """After an hour of watching, the id of the job must not be lost with the connection."""
    job = run("jobs", "submit", "--dataset", DATASET, "--json").json["id"]
    cut = [lambda: Response(iter([b"{"]), 200, {"Content-Length": "99"})]
    service.faults.extend(cut * 9)
    ran = run("jobs", "follow", job)
    assert ran.code == 3
    assert f"regraft jobs follow {job}" in ran.err


def test_no_settings_is_code_2(bare: Run) -> None:
    """The first run on a new machine must say what is missing."""
    ran = bare("whoami")
    assert ran.code == 2
    assert "REGRAFT_URL" in ran.err


def test_a_wrong_key_is_code_1(run: Run) -> None:
    """It must not look as if the service were down."""
    ran = run("--api-key", "rg_wrong", "jobs", "list")
    assert ran.code == 1
    assert "the key is not valid" in ran.err


def test_a_service_that_is_busy_is_waited_for(
    run: Run, service: Standin, waits: list[float]
) -> None:
    """A deployment of the service would break every script of its users."""
    service.busy(2, retry_after="3")
    assert run("whoami").code == 0
    assert waits == [3.0, 3.0]


def test_an_upload_that_becomes_nothing_is_code_1(
    run: Run, service: Standin, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script would submit a job on a dataset that is not there."""
    bad = examples.dataset(status="invalid", status_reason="no image could be read")
    service.datasets[bad.id] = deque([bad])
    monkeypatch.setattr("tests.regraft.examples.dataset", lambda *_, **__: bad)
    ran = run("datasets", "push", photos, "--json")
    assert ran.code == 1
    assert ran.error["code"] == "dataset_invalid"
    assert ran.json["dataset"]["id"] == bad.id


def test_a_fault_of_the_service_is_told(run: Run, service: Standin) -> None:
    """The administrator needs the request id."""
    service.faults.append(lambda: error(ErrorCode.INTERNAL, "something broke"))
    ran = run("whoami")
    assert ran.code == 1
    assert "something broke" in ran.err
    assert "req_42" in ran.err


def test_our_own_bugs_are_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack trace helps nobody but us, and a script needs its JSON all the same."""
    monkeypatch.setattr("regraft.cli.catalog.connect", lambda _: 1 // 0)
    ran = run("whoami", "--json")
    assert ran.code == 1
    assert ran.error["code"] == "internal"
    assert "ZeroDivisionError" in ran.error["message"]


def test_version(bare: Run) -> None:
    """The first question of every bug report."""
    assert bare("version").out.startswith("regraft 0.")
    assert bare("version", "--json").json["object"] == "version"


def test_models_are_promoted_and_rolled_back(run: Run, service: Standin) -> None:
    """Who releases a model must see what was refused, by which figures, and what is live now."""
    refused = run("models", "promote", "home-goods", "2")
    assert refused.code == 1
    assert "51 of 100" in refused.err
    assert "force" in refused.err
    forced = run("models", "promote", "home-goods", "2", "--force", "--alias", "staging")
    assert forced.code == 0
    for said in ("home-goods@staging", "version 2", "51 of 100 test images", "-42.0 points"):
        assert said in forced.out
    back = run("models", "rollback", "home-goods", "--json").json
    assert (back["alias"], back["version"]) == ("production", 1)
    path = "/v1/models/home-goods/aliases/production"
    bodies = [json.loads(one.body) for one in service.of("PUT", path)]
    assert bodies == [{"to": 2, "force": False}, {"to": "previous"}]
    assert "home-goods@old is gone" in run("models", "unalias", "home-goods", "old").out


def test_labels_are_added_to_a_model(run: Run, service: Standin) -> None:
    """A new product group would need a training of its own, and a body written by hand."""
    model = "home-goods@production"
    ran = run("models", "add-classes", model, "--dataset", DATASET, "--label", "teapot", "--follow")
    assert ran.code == 0
    assert f"regraft models download {service.model.id}" in ran.out
    (sent,) = [one for one in service.seen if one.method == "POST"]
    assert sent.path == f"/v1/models/{model}/classes"
    body = {"dataset": DATASET, "label": "teapot", "test_dataset": None, "guard": "on"}
    assert json.loads(sent.body) == body
    run("models", "add-classes", model, "--dataset", DATASET, "--no-guard")
    assert json.loads(service.seen[-1].body)["guard"] == "off"


def test_a_model_is_measured(run: Run, service: Standin) -> None:
    """Whoever wants to know how good a model is on new photos would have to train it again."""
    model = "home-goods@production"
    ran = run("models", "evaluate", model, "--dataset", DATASET, "--follow")
    assert (ran.code, "91.0%" in ran.out) == (0, True)
    (sent,) = [one for one in service.seen if one.method == "POST"]
    assert (sent.path, json.loads(sent.body)) == (
        f"/v1/models/{model}/evaluate",
        {"dataset": DATASET},
    )
    (listed,) = run("models", "evaluations", model, "--json").json["data"]
    assert listed["id"] in run("models", "evaluations", model).out


def test_models_are_deleted(run: Run, service: Standin) -> None:
    """A model in use is refused with the reason, not with a traceback."""
    refused = run("models", "delete", service.model.id, "--json")
    assert (refused.code, refused.json["error"]["code"]) == (1, "in_use")
    service.model = service.model.model_copy(update={"aliases": []})
    assert f"{service.model.id} is gone" in run("models", "delete", service.model.id).out


def test_versions_are_listed_by_name(run: Run, service: Standin) -> None:
    """The number to promote is what one looks for."""
    assert service.model.id in run("models", "list", "--name", "home-goods").out
    assert run("models", "list", "--name", "nothing", "--json").json["data"] == []


def test_the_audit_trail_is_read(run: Run) -> None:
    """After an accident this is what everyone asks for."""
    shown = run("audit")
    for said in ("model.promoted", "home-goods@production", "operator", "req_42"):
        assert said in shown.out
    assert run("audit", "--json").json["data"][0]["data"] == {"to": {"version": 2}}
