"""The engine's view of a dataset: which images it sees, in which order."""

import shutil
from pathlib import Path

import pytest

from worker.engine.data import DamagedImageError, Image, distinct, load
from worker.engine.packs import NewImage, index_path, write_pack
from worker.engine.runspec import DataSource

SAMPLES = Path(__file__).parents[3] / "samples" / "fashion-mnist"


def _image(sha256: str, label: str | None, name: str = "x") -> Image:
    return Image(sha256, name, label, None, None, Path("x"), 0, 0)


def test_a_folder_gives_each_image_with_its_class_and_bytes() -> None:
    """A merchant's engineer would train on the wrong labels."""
    images = load(DataSource(folder=SAMPLES / "target"))
    assert len(images) == 120
    for image in images[:5]:
        assert image.name.startswith(f"{image.label}/")
        assert image.read() == (SAMPLES / "target" / image.name).read_bytes()


def test_a_pack_gives_what_its_folder_gives(tmp_path: Path) -> None:
    """A job would train on other images than the same run from a shell."""
    from_folder = load(DataSource(folder=SAMPLES / "target-test"))
    rows = [
        NewImage(image.sha256, image.name, image.label, "group", "train", [image.read()])
        for image in reversed(from_folder)
    ]
    write_pack(tmp_path / "set.pack", rows)
    from_pack = load(DataSource(pack=tmp_path / "set.pack"))
    facts = [(image.sha256, image.name, image.label) for image in from_folder]
    assert [(image.sha256, image.name, image.label) for image in from_pack] == facts
    assert [image.read() for image in from_pack] == [image.read() for image in from_folder]
    assert {(image.group, image.split) for image in from_pack} == {("group", "train")}


def test_a_damaged_pack_is_noticed_and_written_anew_next_time(tmp_path: Path) -> None:
    """A flipped bit on the disk would train a model on a picture that nobody sent."""
    first, second = load(DataSource(folder=SAMPLES / "target"))[:2]
    rows = [
        NewImage(image.sha256, image.name, image.label, None, None, [image.read()])
        for image in (first, second)
    ]
    pack = tmp_path / "images.pack"
    write_pack(pack, rows)
    images = load(DataSource(pack=pack))
    content = bytearray(pack.read_bytes())
    content[images[0].offset] ^= 1
    pack.write_bytes(content)
    assert images[1].read() == second.read()
    with pytest.raises(DamagedImageError, match=images[0].name):
        images[0].read()
    assert not index_path(pack).exists()


def test_a_damaged_image_of_a_folder_costs_no_other_file(tmp_path: Path) -> None:
    """A user's own notes beside the pictures would be deleted."""
    path, notes = tmp_path / "bag" / "one.png", tmp_path / "bag" / "one.json"
    path.parent.mkdir()
    shutil.copy(next((SAMPLES / "target" / "bag").glob("*.png")), path)
    notes.write_text("mine")
    (image,) = load(DataSource(folder=tmp_path))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedImageError):
        image.read()
    assert notes.read_text() == "mine"


def test_other_files_and_loose_images_are_no_images(tmp_path: Path) -> None:
    """A README or a cover photo beside the classes would become a class."""
    source = next((SAMPLES / "target" / "bag").glob("*.png"))
    (tmp_path / "bag" / "red").mkdir(parents=True)
    shutil.copy(source, tmp_path / "bag" / "red" / "one.PNG")
    shutil.copy(source, tmp_path / "cover.png")
    (tmp_path / "bag" / "notes.txt").write_text("not an image")
    assert [image.name for image in load(DataSource(folder=tmp_path))] == ["bag/red/one.PNG"]


@pytest.mark.parametrize("where", ["folder", "pack"])
def test_a_place_that_is_not_there_is_named(where: str, tmp_path: Path) -> None:
    """The user would see a stack trace instead of the path to correct."""
    with pytest.raises(ValueError, match="nowhere"):
        load(DataSource.model_validate({where: tmp_path / "nowhere"}))


def test_repeats_are_kept_once_and_contradictions_not_at_all() -> None:
    """A repeated photo would count twice, a mislabelled pair would teach both labels."""
    rows = [
        _image("1", "bag"),
        _image("1", "bag", "y"),
        _image("2", "bag"),
        _image("2", "shoe"),
        _image("3", None),
        _image("4", "shoe"),
    ]
    images, left_out = distinct(rows)
    assert [image.sha256 for image in images] == ["1", "4"]
    assert left_out == {"repeated": 2, "conflicting_label": 1, "unlabelled": 1}
