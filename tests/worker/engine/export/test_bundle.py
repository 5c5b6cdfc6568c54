"""The bundle is a zip like any other, made without copying what is in it."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.worker.engine.conftest import TrainedRun
from worker.engine.export.bundle import bundle
from worker.engine.export.segments import Blobs, model_file


def test_any_unzip_takes_it_and_finds_every_file_whole(trained: TrainedRun, tmp_path: Path) -> None:
    """A merchant could not open the download."""
    path = trained.folder / "bundle.zip"
    subprocess.run([sys.executable, "-m", "zipfile", "-t", str(path)], check=True, timeout=60)
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        for info in opened.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr >> 16 == 0o100644
            assert opened.read(info) == (trained.folder / info.filename).read_bytes()
        opened.extractall(tmp_path)
    assert len(list(tmp_path.iterdir())) == 11


def test_names_in_any_script_survive(tmp_path: Path) -> None:
    """A file would come out under another name."""
    blobs = Blobs(tmp_path / "blobs")
    files = [model_file("größe 商品.txt", [blobs.keep(b"abc")]), model_file("empty", [])]
    zipped = bundle("x.zip", files, blobs)
    path = tmp_path / "x.zip"
    path.write_bytes(b"".join(zipped.chunks()))
    with zipfile.ZipFile(path) as opened:
        assert opened.namelist() == ["größe 商品.txt", "empty"]
        assert opened.read("größe 商品.txt") == b"abc"
        assert opened.read("empty") == b""


def test_the_same_files_give_the_same_zip(tmp_path: Path) -> None:
    """A repeated job would look changed, and not deduplicate."""
    made = []
    for name in ("a", "b"):
        blobs = Blobs(tmp_path / name)
        made.append(bundle("x.zip", [model_file("f", [blobs.keep(b"abc")])], blobs).sha256)
    assert made[0] == made[1]
