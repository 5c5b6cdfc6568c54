"""The client and the command line against the real API, over real HTTP, on both databases.

No worker runs here: what a worker would write is put into the rows directly.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import update

from db import models as rows
from db.blobs import SqlBlobStore
from db.session import Database
from regraft.client import (
    AuthenticationError,
    Client,
    ConflictError,
    ConnectionFailed,
    JobFailed,
    NotFoundError,
    ValidationFailed,
    parts,
)
from regraft.client.parts import PartsUpload
from regraft.contract.catalog import BACKBONES
from regraft.contract.ids import new_id
from regraft.contract.job import JobSubmission
from tests.regraft import examples
from tests.support.merchants import Merchant

BUNDLE = bytes(range(256)) * 500


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Two classes of one photo each."""
    for name in ("red", "blue"):
        path = tmp_path / "colours" / name / "1.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (32, 32), name).save(path)
    return tmp_path / "colours"


class Program:
    """The command line as a merchant starts it."""

    def __init__(self, url: str, key: str) -> None:
        self._environment = {**os.environ, "REGRAFT_URL": url, "REGRAFT_API_KEY": key}

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run one command to its end; return all that it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "regraft.cli", *arguments],
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def program(url: str, acme: Merchant) -> Program:
    """The command line of the merchant."""
    return Program(url, acme.key)


def make_ready(database: Database, dataset: str) -> None:
    """Write what ingest would."""
    with database.write() as session:
        row = session.get_one(rows.Dataset, dataset)
        row.status = "ready"
        row.num_images = 2
        row.classes = [{"name": "blue", "num_images": 1}, {"name": "red", "num_images": 1}]


def make_model(database: Database, merchant: Merchant, job: str) -> str:
    """Write what the worker would: a model whose bundle is two ranges of one blob."""
    blob = SqlBlobStore(database).put_bytes(merchant.tenant_id, BUNDLE)
    model, half = new_id("md"), len(BUNDLE) // 2
    whole = examples.model({"bundle.zip": BUNDLE})
    with database.write() as session:
        session.add(
            rows.Model(
                id=model,
                tenant_id=merchant.tenant_id,
                name=whole.name,
                version=1,
                job_id=job,
                backbone=whole.backbone,
                strategy=whole.strategy,
                labels=whole.labels,
                metrics=whole.metrics.model_dump(mode="json"),
                transfer=whole.transfer.model_dump(mode="json"),
                lineage={},
            )
        )
        session.flush()
        owner = {"model_id": model, "tenant_id": merchant.tenant_id}
        file = whole.files[0]
        session.add(rows.ModelFile(**owner, name=file.name, size=file.bytes, sha256=file.sha256))
        session.flush()
        for seq, offset in enumerate((0, half)):
            session.add(
                rows.FileSegment(
                    **owner,
                    file_name=file.name,
                    seq=seq,
                    scope=merchant.tenant_id,
                    blob_sha256=blob.sha256,
                    offset=offset,
                    length=half,
                )
            )
    return model


def test_the_way_of_a_job(
    ours: Client, database: Database, acme: Merchant, colours: Path, tmp_path: Path
) -> None:
    """Client and service would each pass their own tests and not understand one another."""
    assert ours.whoami().merchant == acme.tenant_id
    pushed = ours.datasets.push(colours, "colours", {"season": "FW26"})
    assert (pushed.status, pushed.metadata) == ("processing", {"season": "FW26"})
    with pytest.raises(ConflictError) as early:
        ours.jobs.submit(dataset=pushed.id)
    assert early.value.code == "dataset_not_ready"
    make_ready(database, pushed.id)
    assert ours.datasets.wait(pushed.id).num_images == 2
    job = ours.jobs.submit(JobSubmission(dataset=pushed.id, name="Red and blue"))
    assert job.register_as == "red-and-blue"
    assert [one.id for one in ours.jobs.list(status="queued", dataset=pushed.id)] == [job.id]
    assert len(list(ours.jobs.events(job.id, page_size=1))) >= 1
    assert ours.jobs.metrics(job.id).series == {}
    model = make_model(database, acme, job.id)
    assert [one.id for one in ours.models.list()] == [model]
    name = ours.models.get(model).name
    assert [one.version for one in ours.models.list(name=name)] == [1]
    assert ours.models.promote(name, 1).model == model
    with pytest.raises(ConflictError, match="no other model"):
        ours.models.roll_back(name)
    with pytest.raises(ConflictError, match=f"{name}@production") as used:
        ours.models.delete(f"{name}:1")
    assert used.value.code == "in_use"
    (tmp_path / "bundle.zip.part").write_bytes(BUNDLE[:77_777])
    got = ours.models.download(model, destination=tmp_path).read_bytes()
    assert hashlib.sha256(got).digest() == hashlib.sha256(BUNDLE).digest()
    assert ours.models.remove_alias(name, "production").deleted
    assert ours.models.delete(f"{name}:1").id == model
    actions = [one.action for one in ours.audit(page_size=1)]
    assert actions == ["model.deleted", "alias.removed", "model.promoted"]


def test_a_dataset_is_erased(
    ours: Client, url: str, database: Database, acme: Merchant, colours: Path
) -> None:
    """A merchant could upload photos and never be rid of them."""
    pushed = ours.datasets.push(colours, "colours").id
    program = Program(url, acme.key)
    assert "have not ended use the dataset" in program.run("datasets", "delete", pushed, code=1)
    make_ready(database, pushed)
    with database.write() as session:
        session.execute(update(rows.Job).values(status="succeeded"))
    preview = program.run("datasets", "delete", pushed, "--dry-run", "--models", "delete")
    assert "colours" in preview
    began = program.run("datasets", "delete", pushed, "--no-wait")
    (erasure,) = ours.erasures.list(page_size=1)
    assert erasure.id in began
    assert ours.erasures.request(pushed).id == erasure.id
    with database.write() as session:
        session.execute(update(rows.Job).where(rows.Job.kind == "erase").values(status="failed"))
    assert ours.erasures.wait(erasure.id).status == "failed"
    assert "failed" in program.run("datasets", "erasures")
    assert ours.erasures.get(erasure.id).dataset_name == "colours"
    assert ours.datasets.get(pushed).status == "deleting"


def test_an_erasure_is_called_off(
    ours: Client, url: str, database: Database, acme: Merchant, colours: Path
) -> None:
    """Whoever mistyped an id could only watch the photos go."""
    pushed = ours.datasets.push(colours, "colours").id
    make_ready(database, pushed)
    with database.write() as session:
        session.execute(update(rows.Job).values(status="succeeded"))
    first = ours.erasures.request(pushed).id
    assert ours.erasures.cancel(first).status == "cancelled"
    assert ours.erasures.wait(first).status == "cancelled"
    assert ours.datasets.get(pushed).status == "ready"
    second = ours.erasures.request(pushed).id
    program = Program(url, acme.key)
    assert "cancelled" in program.run("datasets", "cancel-erasure", second)
    third = ours.erasures.request(pushed).id
    with database.write() as session:
        session.execute(update(rows.Job).where(rows.Job.kind == "erase").values(status="running"))
    assert "let it end" in program.run("datasets", "cancel-erasure", third, code=1)


def test_a_large_set_goes_in_parts_and_goes_on_after_a_break(
    ours: Client, url: str, zenith: Merchant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merchant on a poor line would begin a gigabyte anew with each break, and never end."""
    source = tmp_path / "set.zip"
    sent: list[int] = []
    seen: list[int] = []
    with zipfile.ZipFile(source, "w") as archive:
        for name in ("a/1.jpg", "b/2.jpg"):
            archive.writestr(name, random.Random(name).randbytes(5 * 1024 * 1024))
    monkeypatch.setattr(parts, "IN_PARTS_FROM", 1024)
    send = PartsUpload._send

    def breaks(self: PartsUpload, upload: str, number: int, data: bytes, sha256: str) -> None:
        if number == 2 and sent == [1] and not seen:
            seen.append(0)
            raise ConnectionFailed("the line broke")
        sent.append(number)
        send(self, upload, number, data, sha256)

    monkeypatch.setattr(PartsUpload, "_send", breaks)
    with pytest.raises(ConnectionFailed):
        ours.datasets.push(source)
    pushed = ours.datasets.push(source, on_progress=lambda done, _total: seen.append(done))
    assert sent == [1, 2]
    assert seen[-1] == pushed.bytes == source.stat().st_size
    assert pushed.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    with Client(url, zenith.key) as theirs:
        assert list(theirs.datasets.list()) == []


def test_a_picture_is_seen(
    ours: Client, program: Program, database: Database, acme: Merchant, colours: Path
) -> None:
    """A merchant could not look at what a model was taught."""
    pushed = ours.datasets.push(colours).id
    photo = (colours / "red" / "1.png").read_bytes()
    blob = SqlBlobStore(database).put_bytes(acme.tenant_id, photo)
    with database.write() as session:
        owner = {"tenant_id": acme.tenant_id, "dataset_id": pushed, "sha256": blob.sha256}
        image = new_id("img")
        seen = {"path": "red/1.png", "verdict": "ok", "thumbnail_sha256": blob.sha256}
        session.add(rows.Image(id=image, **owner, **seen, seq=0))
    assert ours.datasets.image(pushed, image) == photo
    assert ours.datasets.thumbnail(pushed, image) == photo
    command = ("datasets", "image", pushed, image, "--to", str(colours / "seen"))
    program.run(*command)
    program.run(*command, "--thumbnail")
    for suffix in (".png", ".thumbnail.png"):
        assert (colours / "seen" / f"{image}{suffix}").read_bytes() == photo
    with pytest.raises(NotFoundError):
        ours.datasets.image(pushed, new_id("img"))


def test_a_cancelled_job_ends_the_wait(ours: Client, database: Database, colours: Path) -> None:
    """Cancelling would leave the waiting script behind for ever."""
    pushed = ours.datasets.push(colours)
    make_ready(database, pushed.id)
    job = ours.jobs.submit(dataset=pushed.id)
    assert ours.jobs.cancel(job.id).status.value == "cancelled"
    with pytest.raises(JobFailed, match="cancelled"):
        ours.jobs.wait(job.id)


def test_a_job_is_paused_and_goes_on(ours: Client, database: Database, colours: Path) -> None:
    """A merchant could not give the device away to what is urgent, and come back to it."""
    pushed = ours.datasets.push(colours)
    make_ready(database, pushed.id)
    job = ours.jobs.submit(dataset=pushed.id).id
    assert ours.jobs.pause(job).status.value == "paused"
    assert ours.jobs.pause(job).status.value == "paused"
    assert list(ours.jobs.checkpoints(job)) == []
    assert ours.jobs.resume(job).status.value == "queued"
    with pytest.raises(ConflictError, match="can only be stopped while it is running"):
        ours.jobs.stop(job)


def test_a_version_is_made(
    ours: Client, program: Program, database: Database, acme: Merchant, colours: Path
) -> None:
    """Somebody who found a wrong label would have to upload everything again."""
    pushed = ours.datasets.push(colours, "colours").id
    make_ready(database, pushed)
    owner = {"tenant_id": acme.tenant_id, "dataset_id": pushed, "label": "red"}
    ids = [new_id("img") for _ in range(3)]
    with database.write() as session:
        for seq, image in enumerate(ids):
            row = rows.Image(id=image, seq=seq, path=f"red/{seq}.png", verdict="ok", **owner)
            session.add(row)
    (colours / "blue" / "1.png").unlink()
    made = ours.datasets.new_version(
        pushed, add=colours, relabel={ids[0]: "blue"}, remove=ids[1:2], metadata={"by": "me"}
    )
    assert (made.parent, made.version, made.metadata) == (pushed, 2, {"by": "me"})
    again = (*("datasets", "version", pushed, "--no-wait", "--json"), "--unlabel", ids[0])
    shown = json.loads(program.run(*again, "--relabel", f"{ids[1]}=blue", "--remove", ids[2]))
    assert (shown["version"], shown["bytes"], shown["metadata"]) == (3, 0, {})
    with database.read() as session:
        changes = session.get_one(rows.Dataset, shown["id"]).changes
    assert changes == {"relabel": {ids[0]: None, ids[1]: "blue"}, "remove": ids[2:]}
    assert "nothing would change" in program.run("datasets", "version", pushed, code=2)
    with pytest.raises(NotFoundError) as caught:
        ours.datasets.new_version(pushed, remove=[new_id("img")])
    assert caught.value.param == "remove.0"


def test_the_same_key_makes_the_same_dataset(ours: Client, colours: Path) -> None:
    """A retry of an upload that did arrive would double the merchant's storage."""
    pushed = [ours.datasets.push(colours, "c", idempotency_key="k1").id for _ in range(2)]
    assert pushed[0] == pushed[1]
    with pytest.raises(ValidationFailed) as caught:
        ours.datasets.push(colours, "another", idempotency_key="k1")
    assert caught.value.code == "idempotency_mismatch"


def test_lists_page_through(ours: Client, colours: Path) -> None:
    """The cursors of the service must be those that the client follows."""
    pushed = [ours.datasets.push(colours, f"set {number}").id for number in range(3)]
    assert [one.id for one in ours.datasets.list(page_size=1)] == pushed[::-1]


def test_refusals_are_understood(ours: Client, url: str, zenith: Merchant, colours: Path) -> None:
    """Each kind of refusal has a class of its own that programs catch."""
    pushed = ours.datasets.push(colours)
    with Client(url, zenith.key) as theirs, pytest.raises(NotFoundError):
        theirs.datasets.get(pushed.id)
    with Client(url, "rg_wrong") as nobody, pytest.raises(AuthenticationError) as caught:
        nobody.whoami()
    assert caught.value.request_id
    with pytest.raises(ValidationFailed) as refused:
        ours.jobs.submit(dataset=pushed.id, hyperparameters={"learning_rate": -1})
    assert refused.value.param == "hyperparameters.learning_rate"
    assert refused.value.remedy


def test_the_catalogue(ours: Client) -> None:
    """What the service offers must be readable by the client that is shipped with it."""
    assert [one.name for one in ours.catalog.backbones()] == list(BACKBONES)
    assert ours.catalog.strategies()[0].defaults["type"] == "linear_probe"


def test_a_job_runs_again(ours: Client, database: Database, colours: Path) -> None:
    """After a fault of the service a script would have to remember what it had sent."""
    pushed = ours.datasets.push(colours)
    make_ready(database, pushed.id)
    job = ours.jobs.submit(dataset=pushed.id, name="Red and blue")
    with pytest.raises(ConflictError, match="only one that has ended"):
        ours.jobs.retry(job.id)
    ours.jobs.cancel(job.id)
    again = ours.jobs.retry(job.id, idempotency_key="once")
    assert ours.jobs.retry(job.id, idempotency_key="once").id == again.id != job.id
    assert (again.name, again.spec) == (job.name, job.spec)


def test_what_is_left(ours: Client, database: Database, acme: Merchant) -> None:
    """A merchant would learn of its quota from the first refusal."""
    with database.write() as session:
        session.get_one(rows.Tenant, acme.tenant_id).max_queued = 5
    left = {one.name: one.left for one in ours.whoami().quotas}
    assert (left["jobs_queued"], left["stored_bytes"]) == (5, None)
