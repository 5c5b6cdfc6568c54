"""Either kind of container, before a row exists."""

from pathlib import Path

import pytest

from core.archive import ArchiveError
from core.container import labels_of
from core.settings import UploadLimits
from tests.support.api import zipped
from tests.support.jobs import picture
from tests.support.parquet import rows, written


def test_a_zip_tells_its_labels_and_a_parquet_file_its_ends(tmp_path: Path) -> None:
    """A parquet file would be refused as a zip, or a zip's classes would be unknown."""
    path = tmp_path / "upload"
    path.write_bytes(zipped({"mug/1.png": b"1", "plate/2.png": b"2"}))
    assert labels_of(path, UploadLimits()) == ("mug", "plate")
    whole = written(rows([picture(1), picture(2)], [0, 1]))
    path.write_bytes(whole)
    assert labels_of(path, UploadLimits()) == ()
    path.write_bytes(whole[:-9])
    with pytest.raises(ArchiveError):
        labels_of(path, UploadLimits())
