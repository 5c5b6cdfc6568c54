"""Photos as the parts of a form: files, or their bytes."""

from collections.abc import Iterable
from pathlib import Path

from regraft.client.errors import InvalidInput

_PHOTO = "application/octet-stream"
Part = tuple[str, tuple[str, bytes, str]]


def parts_of(photos: Iterable[str | Path | bytes]) -> list[Part]:
    """Return a part for each photo; bytes without a name are named by their place.

    Raises:
        InvalidInput: a file cannot be read.
    """
    return [("image", _part(number, photo)) for number, photo in enumerate(photos)]


def _part(number: int, photo: str | Path | bytes) -> tuple[str, bytes, str]:
    if isinstance(photo, bytes):
        return str(number), photo, _PHOTO
    file = Path(photo)
    try:
        return file.name or str(number), file.read_bytes(), _PHOTO
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror or error}") from error
