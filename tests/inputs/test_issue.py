"""Bad inputs of the main path: a clear answer each, nothing stored, nothing leaked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from werkzeug.test import TestResponse

from regraft.contract.ids import new_id
from tests.support.api import Api, error_of, zipped
from tests.support.jobs import picture
from tests.support.merchants import Merchant
from tests.support.parquet import rows, written

PARQUET = written(rows([picture(1), picture(2)], [0, 1]))


@contextmanager
def _nothing_stored(api: Api) -> Iterator[None]:
    """Check that a block leaves no row and no file."""
    before = api.row_counts()
    yield
    assert api.row_counts() == before
    assert api.stray_files() == []


class Case(NamedTuple):
    """One bad input: what to send, and the status, code and field of the answer."""

    send: Callable[[], TestResponse]
    status: int
    code: str
    param: str | None


def _check(api: Api, cases: dict[str, Case]) -> None:
    for name, case in cases.items():
        with _nothing_stored(api):
            response = case.send()
            error = error_of(response)
            found = (name, response.status_code, error["code"], error["param"])
            assert found == (name, case.status, case.code, case.param)
            assert len(error["message"]) > 10
            assert error["remedy"]


def test_containers(api: Api, acme: Merchant) -> None:
    """A merchant would wait for a job that cannot work, without a word why."""
    one = {"mug/a.jpg": b"a", "mug/b.jpg": b"b"}
    _check(
        api,
        {
            "no zip": Case(
                *(lambda: api.upload(acme, b"these are not the bytes"), 422),
                *("dataset_invalid", "file"),
            ),
            "a picture": Case(
                lambda: api.upload(acme, b"\xff\xd8\xff\xe0"), 422, "dataset_invalid", "file"
            ),
            "a cut parquet file": Case(
                lambda: api.upload(acme, PARQUET[:-9]), 422, "dataset_invalid", "file"
            ),
            "an encrypted parquet file": Case(
                lambda: api.upload(acme, PARQUET[:-4] + b"PARE"), 422, "unsafe_entry", "file"
            ),
            "nothing": Case(lambda: api.upload(acme, b""), 422, "dataset_invalid", "file"),
            "empty zip": Case(lambda: api.upload(acme, zipped({})), 422, "dataset_invalid", "file"),
            "junk alone": Case(
                *(lambda: api.upload(acme, zipped({"__MACOSX/._a": b"x"})), 422),
                *("dataset_invalid", "file"),
            ),
            "cut zip": Case(
                lambda: api.upload(acme, zipped()[:-40]), 422, "dataset_invalid", "file"
            ),
            "one class": Case(
                lambda: api.upload(acme, zipped(one)), 422, "too_few_classes", "file"
            ),
            "climbing": Case(
                *(lambda: api.upload(acme, zipped({**one, "../cup/c.jpg": b"c"})), 422),
                *("unsafe_path", "file"),
            ),
            "bomb": Case(
                *(lambda: api.upload(acme, zipped({**one, "cup/c.jpg": bytes(5_000_000)})), 413),
                *("too_large_uncompressed", "file"),
            ),
        },
    )


def test_jobs(api: Api, acme: Merchant, zenith: Merchant) -> None:
    """A job would fail after its turn came, or train on somebody else's photos."""
    mine, theirs = api.ready_dataset(acme), api.ready_dataset(zenith)
    processing = api.upload(acme).get_json()["id"]

    def job(status: int, code: str, param: str, /, **spec: Any) -> Case:
        return Case(lambda: api.submit(acme, **{"dataset_id": mine, **spec}), status, code, param)

    invalid = (422, "validation_failed")
    _check(
        api,
        {
            "unknown backbone": job(*invalid, "base.backbone", base={"backbone": "resnet1"}),
            "a path as backbone": job(*invalid, "base.backbone", base={"backbone": "../x.pt"}),
            "an address as backbone": job(
                *invalid, "base.backbone", base={"backbone": "http://127.0.0.1/x"}
            ),
            "unknown strategy": job(*invalid, "strategy.type", strategy={"type": "magic"}),
            "negative learning rate": job(
                *(*invalid, "hyperparameters.learning_rate"),
                hyperparameters={"learning_rate": -0.1},
            ),
            "zero learning rate": job(
                *(*invalid, "hyperparameters.learning_rate"),
                hyperparameters={"learning_rate": 0},
            ),
            "no epochs": job(*invalid, "hyperparameters.epochs", hyperparameters={"epochs": 0}),
            "half an epoch": job(
                *invalid, "hyperparameters.epochs", hyperparameters={"epochs": 1.5}
            ),
            "a huge batch": job(
                *invalid, "hyperparameters.batch_size", hyperparameters={"batch_size": 10**6}
            ),
            "a seed beyond 64 bits": job(*invalid, "seed", seed=2**64),
            "a name for the registry": job(*invalid, "register_as", register_as="../x"),
            "no such field": job(*invalid, "epochs", epochs=3),
            "another merchant's dataset": job(404, "not_found", "dataset", dataset_id=theirs),
            "another's test dataset": job(404, "not_found", "test_dataset", test_dataset=theirs),
            "a random dataset": job(404, "not_found", "dataset", dataset_id=new_id("ds")),
            "no dataset id": job(*invalid, "dataset", dataset_id="1 or 1=1"),
            "a dataset in work": job(409, "dataset_not_ready", "dataset", dataset_id=processing),
        },
    )


def test_nobody(api: Api, acme: Merchant) -> None:
    """A stranger could store data, or learn what is there."""
    dataset = api.ready_dataset(acme)
    refused = (401, "unauthenticated", None)
    _check(
        api,
        {
            "upload": Case(lambda: api.upload(None), *refused),
            "job": Case(lambda: api.post("/v1/jobs", None, json={"dataset": dataset}), *refused),
            "list": Case(lambda: api.get("/v1/datasets", None), *refused),
            "known id": Case(lambda: api.get(f"/v1/datasets/{dataset}", None), *refused),
            "random id": Case(lambda: api.get(f"/v1/datasets/{new_id('ds')}", None), *refused),
            "malformed id": Case(lambda: api.get("/v1/datasets/1", None), *refused),
        },
    )
