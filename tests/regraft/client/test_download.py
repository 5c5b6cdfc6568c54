"""Downloads that break, lie or are there already."""

import hashlib
from pathlib import Path

import pytest

from regraft.client import ChecksumMismatch, Client, InvalidInput, UnexpectedAnswer
from regraft.contract.catalog import BACKBONES, STRATEGIES
from regraft.contract.resources import ModelFile
from tests.regraft import examples
from tests.regraft.standin import Standin

BUNDLE = "bundle.zip"


def ranges(service: Standin) -> list[str | None]:
    url = f"/v1/models/{service.model.id}/files/{BUNDLE}"
    return [one.headers.get("range") for one in service.of("GET", url)]


def test_a_file_arrives_whole(client: Client, service: Standin, tmp_path: Path) -> None:
    """A model with a flipped bit still loads, and is wrong."""
    moved: list[tuple[int, int]] = []
    path = client.models.download(
        "home-goods@production", destination=tmp_path, on_progress=lambda *it: moved.append(it)
    )
    assert path == tmp_path / BUNDLE
    assert path.read_bytes() == service.files[BUNDLE]
    assert moved[-1] == (len(service.files[BUNDLE]),) * 2
    assert list(tmp_path.glob("*.part")) == []


def test_a_broken_download_goes_on_where_it_stopped(
    client: Client, service: Standin, tmp_path: Path
) -> None:
    """On a poor line a large model would never arrive."""
    service.cuts.extend([300_000, 200_000])
    path = client.models.download(service.model.id, destination=tmp_path)
    assert path.read_bytes() == service.files[BUNDLE]
    assert ranges(service) == [None, "bytes=300000-", "bytes=500000-"]


def test_a_later_call_goes_on_too(client: Client, service: Standin, tmp_path: Path) -> None:
    """The laptop was closed in between."""
    (tmp_path / f"{BUNDLE}.part").write_bytes(service.files[BUNDLE][:1000])
    path = client.models.download(service.model.id, destination=tmp_path)
    assert path.read_bytes() == service.files[BUNDLE]
    assert ranges(service) == ["bytes=1000-"]


@pytest.mark.parametrize("size", [10, 10**7])
def test_the_part_of_another_model_is_not_trusted(
    client: Client, service: Standin, tmp_path: Path, size: int
) -> None:
    """Two models have a bundle.zip each: half of one and half of the other is neither."""
    (tmp_path / f"{BUNDLE}.part").write_bytes(b"?" * size)
    path = client.models.download(service.model.id, destination=tmp_path)
    assert path.read_bytes() == service.files[BUNDLE]


def test_wrong_bytes_are_refused_and_thrown_away(
    client: Client, service: Standin, tmp_path: Path
) -> None:
    """A model that was tampered with, or rotted on a disk, would go into production."""
    (tmp_path / BUNDLE).write_bytes(b"the old one")
    changed = bytearray(service.files[BUNDLE])
    changed[1000] ^= 1
    service.files[BUNDLE] = bytes(changed)
    with pytest.raises(ChecksumMismatch):
        client.models.download(service.model.id, destination=tmp_path)
    assert [path.name for path in tmp_path.glob(f"{BUNDLE}*")] == [BUNDLE]
    assert (tmp_path / BUNDLE).read_bytes() == b"the old one"


@pytest.mark.parametrize("extra", [-5000, 5000])
def test_a_wrong_length_is_refused(
    client: Client, service: Standin, tmp_path: Path, extra: int
) -> None:
    """A short file would be asked for again without end, an endless one would fill the disk."""
    data = service.files[BUNDLE]
    service.files[BUNDLE] = data[:extra] if extra < 0 else data + b"x" * extra
    with pytest.raises(ChecksumMismatch):
        client.models.download(service.model.id, destination=tmp_path)
    assert list(tmp_path.glob("*.part")) == []


def test_what_is_there_is_not_fetched_again(
    client: Client, service: Standin, tmp_path: Path
) -> None:
    """A deployment that runs daily would load the same model daily."""
    for _ in range(2):
        client.models.download(service.model.id, destination=tmp_path)
    assert len(ranges(service)) == 1


def test_an_empty_file_is_a_file(client: Client, service: Standin, tmp_path: Path) -> None:
    """Zero bytes to fetch must not mean that nothing appears."""
    service.files = {"empty.json": b""}
    service.model = examples.model(service.files)
    path = client.models.download(service.model.id, "empty.json", tmp_path / "new" / "e.json")
    assert path.read_bytes() == b""


def test_an_unknown_file_names_those_that_exist(
    client: Client, service: Standin, tmp_path: Path
) -> None:
    """`model.oonx` deserves more than a 404."""
    with pytest.raises(InvalidInput, match=r"choose one of: bundle\.zip, labels\.json"):
        client.models.download(service.model.id, "model.oonx", tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/evil", "a\\b", ".."])
def test_a_name_never_leaves_the_folder(
    client: Client, service: Standin, tmp_path: Path, name: str
) -> None:
    """A service that was taken over would write into the home of whoever downloads."""
    sha256 = hashlib.sha256(b"x").hexdigest()
    service.model.files.append(ModelFile(name=name, bytes=1, sha256=sha256))
    with pytest.raises((UnexpectedAnswer, InvalidInput)):
        client.models.download(service.model.id, name, tmp_path)
    assert not any(path.name == "evil" for path in tmp_path.parent.iterdir())


def test_a_model_and_its_catalogue_are_read(client: Client, service: Standin) -> None:
    """The labels of a model in production have to be looked up somewhere."""
    assert client.models.get("home-goods:3").labels == ["mug", "bowl"]
    assert [one.id for one in client.models.list()] == [service.model.id]
    assert [one.name for one in client.catalog.backbones()] == list(BACKBONES)
    assert [one.type for one in client.catalog.strategies()] == list(STRATEGIES)
