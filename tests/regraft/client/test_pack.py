"""From a folder to a zip: what goes in, what stays out, and the same bytes every time."""

import io
import os
import unicodedata
import zipfile
from pathlib import Path

import pytest

from regraft.client import InvalidInput
from regraft.client.pack import pack


def packed(folder: Path) -> bytes:
    target = io.BytesIO()
    pack(folder, target)
    return target.getvalue()


def names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_junk_stays_out(photos: Path) -> None:
    """A `.DS_Store` would come back as a rejected image, a `.git` folder would be published."""
    assert names(packed(photos)) == ["bowl/b.png", "bowl/more/c.txt", "mug/1.jpg", "mug/2.jpg"]


def test_the_same_files_make_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    """Pushing a folder again would look like another upload: no checksum could be compared."""
    before = packed(photos)
    copy = tmp_path / "copy"
    for path in sorted(photos.rglob("*"), reverse=True):
        if path.is_file():
            target = copy / path.relative_to(photos)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            target.chmod(0o600)
            os.utime(target, (1, 1))
    assert packed(copy) == before


def test_the_content_survives(photos: Path) -> None:
    """A photo that changed on the way would be learnt wrong."""
    with zipfile.ZipFile(io.BytesIO(packed(photos))) as archive:
        for name in archive.namelist():
            assert archive.read(name) == (photos / name).read_bytes()
        assert archive.getinfo("mug/1.jpg").compress_type == zipfile.ZIP_STORED
        assert archive.getinfo("bowl/more/c.txt").compress_type == zipfile.ZIP_DEFLATED


def test_names_of_both_unicode_forms_are_one(tmp_path: Path) -> None:
    """`Gläser` from a Mac and from Linux would become two classes."""
    names = {
        "a": unicodedata.normalize("NFC", "Gläser"),
        "b": unicodedata.normalize("NFD", "Gläser"),
    }
    for folder, name in names.items():
        path = tmp_path / folder / name / "1.jpg"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x")
        (tmp_path / folder / "mug").mkdir()
        (tmp_path / folder / "mug" / "1.jpg").write_bytes(b"y")
    assert packed(tmp_path / "a") == packed(tmp_path / "b")


def test_two_files_of_one_name_are_refused(photos: Path) -> None:
    """One of the two photos would replace the other without a word."""
    for name in (unicodedata.normalize("NFC", "ä.jpg"), unicodedata.normalize("NFD", "ä.jpg")):
        (photos / "mug" / name).write_bytes(b"x")
    with pytest.raises(InvalidInput, match="same name"):
        packed(photos)


@pytest.mark.parametrize("target", ["/etc", "/etc/hostname", "missing"])
def test_links_are_refused(photos: Path, target: str) -> None:
    """A link in the folder would send a file from outside it."""
    (photos / "mug" / "link.jpg").symlink_to(target)
    with pytest.raises(InvalidInput, match="symbolic link"):
        packed(photos)


def test_devices_are_refused(photos: Path) -> None:
    """Reading a pipe would hang for ever."""
    os.mkfifo(photos / "mug" / "pipe.jpg")
    with pytest.raises(InvalidInput, match="neither a file nor a folder"):
        packed(photos)


def test_a_name_that_is_no_text_is_refused(photos: Path) -> None:
    """The upload would end in a traceback about codecs."""
    Path(os.fsdecode(os.fsencode(photos) + b"/mug/\xff.jpg")).write_bytes(b"x")
    with pytest.raises(InvalidInput, match="not valid Unicode"):
        packed(photos)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    """The user would wait for an upload to learn that the path was wrong."""
    (tmp_path / "mug").mkdir()
    with pytest.raises(InvalidInput, match="no files"):
        packed(tmp_path)


def test_images_without_a_class_folder_are_refused(tmp_path: Path) -> None:
    """Labels come from folders: without them there is nothing to learn."""
    (tmp_path / "1.jpg").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="no class folders"):
        packed(tmp_path)


def test_one_class_is_refused_and_the_right_folder_named(photos: Path) -> None:
    """The usual slip is the folder above: the error should say so."""
    with pytest.raises(InvalidInput, match=f"one class only .*did you mean {photos}"):
        packed(photos.parent)


def test_a_manifest_stands_for_folders(tmp_path: Path) -> None:
    """Merchants who label by manifest keep all images in one folder."""
    (tmp_path / "manifest.csv").write_text("path,label\nall/1.jpg,mug\n")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "1.jpg").write_bytes(b"x")
    assert names(packed(tmp_path)) == ["all/1.jpg", "manifest.csv"]
