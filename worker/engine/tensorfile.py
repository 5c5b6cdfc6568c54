"""Write safetensors by parts: the header apart from the bytes, the same bytes every time.

The library writes metadata in random order and only whole files; models need neither.
May import the standard library.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

_ALIGNMENT = 8


class Entry(NamedTuple):
    """One tensor: its name, safetensors' name of its type, its shape, and its size in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int


def header(entries: list[Entry], metadata: Mapping[str, str]) -> bytes:
    """Return what precedes the tensors' bytes, which follow end to end in this order.

    Format: 8 bytes of little-endian length, then JSON padded with spaces
    (https://github.com/huggingface/safetensors#format).
    """
    described: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for entry in entries:
        described[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.size],
        }
        offset += entry.size
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
