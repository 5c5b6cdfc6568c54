"""An uploaded container of either kind, as far as it is looked at before a row exists.

May import the standard library, core and regraft.contract.
"""

from pathlib import Path

from core import archive, parquet_ends
from core.settings import UploadLimits


def labels_of(path: Path, limits: UploadLimits, least_classes: int = 2) -> tuple[str, ...]:
    """Check a zip or a parquet file and return its labels in alphabetical order.

    A parquet file's are known to its decoder alone: none are returned. Raises `ArchiveError`.
    """
    if parquet_ends.is_parquet(path):
        parquet_ends.check_ends(path)
        return ()
    return archive.inspect(path, limits, least_classes).labels
