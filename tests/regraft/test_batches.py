"""The client and the command line run batches over real HTTP; a worker's rows are put directly."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from core.settings import Settings
from db.session import Database
from regraft.cli.app import app as cli
from regraft.client import Client, InvalidInput, JobFailed, NotFoundError
from regraft.contract.batch import BatchSubmission
from tests.support.api import Api, Trained
from tests.support.merchants import Merchant

PARTS = [b'{"image": "img_1"}\n', b'{"image": "img_2"}\n']


@pytest.fixture
def shop(settings: Settings, database: Database) -> Api:
    """The same service from inside, to leave what workers leave."""
    return Api(settings, database)


@pytest.fixture
def made(shop: Api, acme: Merchant) -> Trained:
    """A dataset and a model that can answer."""
    return shop.trained(acme, {"model.safetensors": [b"weights"]}, name="home-goods")


def test_a_batch_from_its_submission_to_its_file(
    ours: Client, shop: Api, acme: Merchant, made: Trained, tmp_path: Path
) -> None:
    """A merchant's engineer wants one file, and to know when there is none."""
    wanted = BatchSubmission(dataset=made.dataset_id, model="home-goods:1", format="csv")
    batch = ours.batches.submit(wanted)
    assert (batch.model, batch.format) == (made.model_id, "csv")
    with pytest.raises(InvalidInput, match="has no answers"):
        ours.batches.download(batch.id, tmp_path)
    assert ours.batches.pause(batch.id).status == "paused"
    assert ours.batches.resume(batch.id).status == "queued"
    assert ours.batches.cancel(batch.id).status == "cancelled"
    with pytest.raises(JobFailed, match=f"batch {batch.id} cancelled"):
        ours.batches.wait(batch.id)
    assert [event.message for event in ours.batches.follow(batch.id)][-1].startswith("Cancelled")
    assert ours.batches.retry(batch.id).status == "queued"
    done = shop.answered(acme, made, PARTS)
    assert next(ours.batches.list(model=made.model_id)).id == done
    assert ours.batches.wait(done).id == done
    path = ours.batches.download(done, tmp_path)
    assert (path.name, path.read_bytes()) == ("predictions.jsonl", b"".join(PARTS))
    assert ours.batches.delete_file(done).id == done
    with pytest.raises(NotFoundError):
        ours.batches.get("job_01k8zr1w3g7ys5d9f2k4m6p8qb")


def test_the_command_line_does_the_same(
    *,
    url: str,
    shop: Api,
    acme: Merchant,
    made: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A script tags the new arrivals each night."""
    monkeypatch.setenv("REGRAFT_URL", url)
    monkeypatch.setenv("REGRAFT_API_KEY", acme.key)

    def run(*arguments: str, code: int = 0) -> str:
        ran = CliRunner().invoke(cli, ["batches", *arguments])
        assert ran.exit_code == code, ran.output
        return ran.stdout

    said = run("submit", made.model_id, made.dataset_id, "--format", "csv", "--json")
    batch = json.loads(said[said.index("{\n") :])["id"]  # the API logs to this stream too
    assert "queued" in run("show", batch)
    assert "paused" in run("pause", batch)
    assert "cancelled" in run("cancel", batch)
    run("follow", batch, code=1)
    assert "queued" in run("retry", batch)
    done = shop.answered(acme, made, PARTS)
    assert done in run("list", "--dataset", made.dataset_id)
    assert "4, 2 in error" in run("show", done)
    run("download", done, "--to", str(tmp_path / "new"))
    assert (tmp_path / "new" / "predictions.jsonl").read_bytes() == b"".join(PARTS)
    assert "are gone" in run("delete-file", done)
