"""Both ends of a parquet file: all that is looked at of one outside the decoder's sandbox.

https://parquet.apache.org/docs/file-format/. May import the standard library, core and
regraft.contract.
"""

from pathlib import Path

from core.manifest import ArchiveError
from core.settings import MIB
from regraft.contract.errors import ErrorCode

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_TAIL_BYTES = 8  # the footer's length and the magic
_MOST_FOOTER_BYTES = 16 * MIB


def is_parquet(path: Path) -> bool:
    """Tell whether a file begins as a parquet file, encrypted or not."""
    with path.open("rb") as source:
        return source.read(len(_MAGIC)) in {_MAGIC, _ENCRYPTED}


def check_ends(path: Path) -> None:
    """Raise `ArchiveError` for a file that is encrypted, cut short, or says too long a footer."""
    size = path.stat().st_size
    with path.open("rb") as source:
        first = source.read(len(_MAGIC))
        source.seek(max(0, size - _TAIL_BYTES))
        tail = source.read()
    if _ENCRYPTED in {first, tail[4:]}:
        raise ArchiveError(ErrorCode.UNSAFE_ENTRY, "The parquet file is encrypted.")
    footer = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or footer + _TAIL_BYTES + len(_MAGIC) > size:
        message = "The parquet file is cut short or damaged: its end is not where it should be."
        raise ArchiveError(ErrorCode.DATASET_INVALID, message)
    if footer > _MOST_FOOTER_BYTES:
        raise ArchiveError(
            ErrorCode.TOO_MANY_ENTRIES,
            f"The footer of the parquet file has {footer} bytes; at most {_MOST_FOOTER_BYTES} are "
            "read. Write it with fewer columns and larger row groups.",
        )
