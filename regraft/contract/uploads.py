"""Resumable uploads: a file that comes in parts, over as many connections as it takes."""

from typing import Annotated, Literal

from pydantic import Field

from regraft.contract.metrics import Shown
from regraft.contract.strict import Strict

PART_BYTES = 8 * 1024 * 1024
SHA256_PATTERN = "^[0-9a-f]{64}$"


class UploadRequest(Strict):
    """The file that is to come: its size in bytes, and its SHA-256 in hex."""

    bytes: Annotated[int, Field(ge=1, le=2**40)]
    sha256: Annotated[str, Field(pattern=SHA256_PATTERN)]


class UploadPart(Shown):
    """A part that has come."""

    number: int
    bytes: int
    sha256: str


class Upload(Shown):
    """A file on its way. Parts count from 1; each has `part_bytes`, the last what is left.

    `complete` may be named as `upload` in `POST /v1/datasets` until `expires_at`.
    """

    id: str
    object: Literal["upload"] = "upload"
    status: Literal["open", "complete"]
    bytes: int
    sha256: str
    part_bytes: int
    num_parts: int
    parts: list[UploadPart]
    created_at: str
    expires_at: str
