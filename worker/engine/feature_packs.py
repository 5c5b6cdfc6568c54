"""Where feature packs lie and which images they hold, for whoever moves or deletes them; no torch.

`worker.engine.feature_cache` says what is in a pack. May import the standard library.
"""

import json
from pathlib import Path

SUFFIX = ".safetensors"
_LENGTH_BYTES = 8
_MOST_HEADER = 64 * 1024 * 1024


def folder_of(root: Path, key: str) -> Path:
    """Return the folder below a tenant's cache with the packs of one key."""
    return root / "features" / key[:32]


def images_of(path: Path) -> list[str]:
    """Return the hashes of a pack's images, in order of its rows; none for what is no whole pack.

    Format: see `worker.engine.tensorfile`.
    """
    try:
        with path.open("rb") as pack:
            length = int.from_bytes(pack.read(_LENGTH_BYTES), "little")
            header = json.loads(pack.read(min(length, _MOST_HEADER)))
        return [str(image) for image in json.loads(header["__metadata__"]["images"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []
