"""The two ends of a parquet file, which the API looks at before a row exists."""

from pathlib import Path

import pytest

from core.archive import ArchiveError
from core.parquet_ends import check_ends, is_parquet
from regraft.contract.errors import ErrorCode
from tests.support.jobs import picture
from tests.support.parquet import rows, written

WHOLE = written(rows([picture(1), picture(2)], [0, 1]))


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "upload"
    path.write_bytes(data)
    return path


def test_a_whole_file_is_taken(tmp_path: Path) -> None:
    """No parquet file could be uploaded."""
    path = _file(tmp_path, WHOLE)
    assert is_parquet(path)
    check_ends(path)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"PAR1", ErrorCode.DATASET_INVALID),
        (WHOLE[:-1], ErrorCode.DATASET_INVALID),
        (WHOLE[:200], ErrorCode.DATASET_INVALID),
        (WHOLE[:-8] + b"\xff\xff\xff\x7fPAR1", ErrorCode.DATASET_INVALID),
        (b"PARE" + WHOLE[4:], ErrorCode.UNSAFE_ENTRY),
        (WHOLE[:-4] + b"PARE", ErrorCode.UNSAFE_ENTRY),
        (b"PAR1" + bytes(2**24 + 1) + b"\x01\x00\x00\x01PAR1", ErrorCode.TOO_MANY_ENTRIES),
    ],
)
def test_a_file_that_is_not_whole(tmp_path: Path, data: bytes, code: ErrorCode) -> None:
    """A merchant would hear of a broken download only when its images were to be checked."""
    with pytest.raises(ArchiveError) as caught:
        check_ends(_file(tmp_path, data))
    assert caught.value.code == code


def test_other_files_are_no_parquet(tmp_path: Path) -> None:
    """A zip would be refused as a damaged parquet file."""
    assert not is_parquet(_file(tmp_path, b"PK\x03\x04"))
    assert not is_parquet(_file(tmp_path, b""))
