"""The blob store's protocol: content-addressed bytes within a scope, streamed in and out.

A scope is a tenant's id or `shared`; nothing is deduplicated or visible across scopes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

CHUNK_BYTES = 4 * 1024 * 1024
SHARED_SCOPE = "shared"


class BlobInfo(NamedTuple):
    """A stored blob: sha256 in hex, size in bytes."""

    sha256: str
    size: int


class BlobNotFoundError(LookupError):
    """No blob of that hash is stored in that scope."""


class BlobCorruptError(RuntimeError):
    """Stored bytes do not match their hash."""


class BlobStore(Protocol):
    """Where bytes live; SQL by default, an object store in large installations."""

    def put_file(self, scope: str, path: Path) -> BlobInfo:
        """Store a file; storing the same bytes again changes nothing."""
        ...

    def put_bytes(self, scope: str, data: bytes) -> BlobInfo:
        """Store bytes; storing the same bytes again changes nothing."""
        ...

    def find(self, scope: str, sha256: str) -> BlobInfo | None:
        """Return the blob, or None where the scope has none of that hash."""
        ...

    def read(
        self, scope: str, sha256: str, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes]:
        """Yield a range in pieces of at most 4 MiB; raises `BlobNotFoundError` at once."""
        ...
