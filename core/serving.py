"""What the API asks of the serving process: a line of JSON, then the photos' bytes end to end.

The answers are `regraft.contract.prediction`'s, `Neighbours`, or the error envelope. May import
core and regraft.contract.
"""

from collections.abc import Sequence
from typing import IO, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from regraft.contract.prediction import MAX_TOP
from regraft.contract.search import UnreadPhoto

MEDIA_TYPE = "application/x-regraft-photos"
_LONGEST_LINE = 1024 * 1024


class Photo(BaseModel):
    """A photo's name, the product that it shows where that is said, and its size in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    group: str | None
    size: int = Field(ge=0)


class Asked(BaseModel):
    """Photos of one merchant and the model to ask; `pool` makes them all one product's.

    An answer that takes longer than `seconds` is not waited for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant_id: str
    model_id: str
    photos: tuple[Photo, ...]
    pool: bool = False
    top: int = Field(default=3, ge=1, le=MAX_TOP)
    seconds: float = Field(gt=0)


class Sought(Asked):
    """Photos of one product to look for in a dataset; `collapse` finds each product once.

    `key` is that of the features which the model's backbone gives.
    """

    dataset_id: str
    key: str
    collapse: bool = False


class Found(BaseModel):
    """An image of the dataset, and its cosine to the query."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str
    score: float


class Neighbours(BaseModel):
    """What a search found, best first; `errors` are photos that were left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_images: int
    num_missing: int
    exact: bool
    recall: float
    hits: tuple[Found, ...]
    errors: tuple[UnreadPhoto, ...]


Wish = TypeVar("Wish", bound=Asked)


def authorization(secret: str) -> str:
    """Return the `Authorization` header by which the two processes know each other."""
    return f"Bearer {secret or 'none'}"


class MalformedError(ValueError):
    """A body that is not what `written` makes."""


def written(asked: Asked, photos: Sequence[bytes]) -> bytes:
    """Return the body that asks."""
    return b"".join([asked.model_dump_json().encode(), b"\n", *photos])


def read(body: IO[bytes], kind: type[Wish]) -> tuple[Wish, list[bytes]]:
    """Return what is asked and the photos; raises `MalformedError`."""
    try:
        asked = kind.model_validate_json(body.readline(_LONGEST_LINE))
    except ValidationError as error:
        raise MalformedError("the first line is not what is asked") from error
    return asked, [_exactly(photo.size, body) for photo in asked.photos]


def _exactly(size: int, body: IO[bytes]) -> bytes:
    """Return so many bytes; a stream may give fewer than it is asked for at once."""
    found = bytearray()
    while len(found) < size:
        piece = body.read(size - len(found))
        if not piece:
            raise MalformedError("the body ends early")
        found += piece
    return bytes(found)
