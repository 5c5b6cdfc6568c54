"""Pushing images and waiting for the verdict on them."""

import io
import json
import zipfile
from collections import deque
from pathlib import Path

import pytest
from werkzeug.formparser import parse_form_data
from werkzeug.test import EnvironBuilder

from regraft.client import Client, DatasetInvalid, InvalidInput, WaitTimeout
from regraft.contract.verdict import Verdict
from tests.regraft import examples
from tests.regraft.standin import Seen, Standin


def form(seen: Seen) -> tuple[dict[str, str], bytes, str | None]:
    """Return the fields, the file and the file's name of an upload."""
    builder = EnvironBuilder(
        method="POST", data=seen.body, content_type=seen.headers["content-type"]
    )
    _, fields, files = parse_form_data(builder.get_environ())
    with files["file"].stream as stream:
        return fields.to_dict(), stream.read(), files["file"].filename


def test_a_folder_is_pushed(client: Client, service: Standin, photos: Path) -> None:
    """The first thing a merchant does: a folder in, a dataset out."""
    moved: list[tuple[int, int]] = []
    made = client.datasets.push(
        photos, "autumn", {"season": "FW26"}, on_progress=lambda *it: moved.append(it)
    )
    assert made.status == "processing"
    (sent,) = service.of("POST", "/v1/datasets")
    fields, data, name = form(sent)
    assert fields == {"name": "autumn", "metadata": json.dumps({"season": "FW26"})}
    assert name == "dataset.zip"
    assert len(zipfile.ZipFile(io.BytesIO(data)).namelist()) == 4
    assert moved[-1] == (len(data), len(data))


def test_the_name_defaults_to_the_folders(client: Client, service: Standin, photos: Path) -> None:
    """A name is wanted, and the folder has one."""
    assert client.datasets.push(photos).name == "home goods"


def test_a_zip_is_pushed_as_it_is(client: Client, service: Standin, tmp_path: Path) -> None:
    """A checksum taken before the upload must hold after it."""
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/1.jpg", "x")
    client.datasets.push(path)
    fields, data, _ = form(service.seen[0])
    assert fields["name"] == "mine"
    assert data == path.read_bytes()


def test_a_parquet_file_is_pushed_as_it_is(
    client: Client, service: Standin, tmp_path: Path
) -> None:
    """A set that was made for training would have to be unpacked first."""
    path = tmp_path / "train-00000.parquet"
    path.write_bytes(b"PAR1 and so on PAR1")
    client.datasets.push(path)
    fields, data, _ = form(service.seen[0])
    assert fields["name"] == "train-00000"
    assert data == path.read_bytes()


def test_a_retried_push_is_the_same_to_the_byte(
    client: Client, service: Standin, photos: Path
) -> None:
    """With one key and another body the service would answer `idempotency_mismatch`."""
    service.busy(2, retry_after="0")
    client.datasets.push(photos)
    sent = service.of("POST", "/v1/datasets")
    assert len(sent) == 3
    assert len({(one.headers["idempotency-key"], one.body) for one in sent}) == 1
    assert len(form(sent[2])[1]) > 100


@pytest.mark.parametrize("name", ["missing", "notes.txt"])
def test_what_is_no_upload_is_refused_here(
    client: Client, service: Standin, tmp_path: Path, name: str
) -> None:
    """The user would wait for an upload to learn that the path was wrong."""
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InvalidInput, match=name):
        client.datasets.push(tmp_path / name)
    assert service.seen == []


def test_nothing_is_left_in_the_temporary_folder(
    client: Client, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each push would fill the disk with another copy of the photos."""
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(room))
    client.datasets.push(photos)
    assert list(room.iterdir()) == []


def test_waiting_ends_when_the_images_are_read(client: Client, photos: Path) -> None:
    """A job on a dataset that is not ready would be refused."""
    seen: list[str] = []
    made = client.datasets.push(photos)
    ready = client.datasets.wait(made.id, on_update=lambda it: seen.append(it.status))
    assert seen == ["processing", "ready"]
    assert ready.num_images == 4


def test_an_invalid_dataset_is_an_error(client: Client, service: Standin) -> None:
    """A script would go on and submit a job on nothing."""
    bad = examples.dataset(status="invalid", status_reason="one class only")
    service.datasets[bad.id] = deque([bad])
    with pytest.raises(DatasetInvalid, match="one class only") as caught:
        client.datasets.wait(bad.id)
    assert caught.value.dataset == bad


def test_waiting_can_have_an_end(client: Client, service: Standin, waits: list[float]) -> None:
    """A build server would hang on a stuck ingest until it is killed."""
    slow = examples.dataset(status="processing")
    service.datasets[slow.id] = deque([slow])
    with pytest.raises(WaitTimeout):
        client.datasets.wait(slow.id, timeout=10)
    assert 10 <= sum(waits) < 13
    assert waits == sorted(waits)


def test_images_are_filtered_by_verdict(client: Client, service: Standin) -> None:
    """Of ten thousand images the user wants to see the twelve that failed."""
    dataset = examples.dataset()
    service.datasets[dataset.id] = deque([dataset])
    service.images = [examples.image(verdict) for verdict in Verdict] * 3
    found = client.datasets.images(dataset.id, verdict=Verdict.CORRUPT, page_size=2)
    assert [one.verdict for one in found] == [Verdict.CORRUPT] * 3
    assert len(list(client.datasets.images(dataset.id))) == 3 * len(Verdict)


def test_datasets_are_listed(client: Client, photos: Path) -> None:
    """The id of last week's push has to be found somewhere."""
    pushed = client.datasets.push(photos)
    assert [one.id for one in client.datasets.list()] == [pushed.id]
    assert client.datasets.get(pushed.id).id == pushed.id
