"""The photos of a multipart body, in memory: for requests that keep nothing."""

from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from werkzeug.sansio.multipart import Data, Field, File

from api import digests, multipart
from api.bodies import pieces
from api.services import Services
from core import strict_json
from core.refusals import InvalidError, RefusedError
from core.serving import Photo
from regraft.contract.errors import ErrorCode
from regraft.contract.naming import Text

_IMAGE, _GROUPS = "image", "groups"
_OVERHEAD = 64 * 1024  # of boundaries, names and groups beside the photos
_LONGEST_NAME = 255
_groups: TypeAdapter[list[Text | None]] = TypeAdapter(list[Text | None])

_PHOTOS = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "contentMediaType": "image/*"},
    "description": "JPEG, PNG or WebP; one part for each photo, with a `filename`.",
}
_PRODUCTS = {
    "type": "string",
    "description": (
        "A JSON array with an entry for each photo in order: the product that it shows, or null. "
        "Photos of one product get one answer."
    ),
}
ONE_PRODUCT = {
    "type": "object",
    "required": [_IMAGE],
    "additionalProperties": False,
    "properties": {_IMAGE: _PHOTOS},
}
FORM = {**ONE_PRODUCT, "properties": {_IMAGE: _PHOTOS, _GROUPS: _PRODUCTS}}


class Photos(NamedTuple):
    """What came: each photo's name, product and size, and their bytes."""

    named: tuple[Photo, ...]
    content: tuple[bytes, ...]


def received(services: Services) -> Photos:
    """Return the photos of this request.

    Raises `unsupported_media_type`, `invalid_multipart`, `incomplete_body`,
    `payload_too_large`, or `validation_failed` for a part that is missing, repeated or unknown.
    """
    return _Receiver(services).run()


class _Receiver:
    """The state of one body: which part is being read, what has come so far."""

    def __init__(self, services: Services) -> None:
        self._limits = services.settings.serving
        self._hashes = digests.asked_for()
        self._names: list[str] = []
        self._content: list[bytearray] = []
        self._groups: bytearray | None = None
        self._part = bytearray()

    def run(self) -> Photos:
        decoder = multipart.StreamDecoder(multipart.boundary(), self._limits.max_images + 2)
        try:
            for piece in pieces(self._limits.max_bytes + _OVERHEAD):
                for digest in self._hashes.values():
                    digest.update(piece)
                self._feed(decoder, piece)
        except ValueError as error:
            raise multipart.invalid("The multipart body is malformed.") from error
        if not decoder.is_over:
            raise multipart.invalid("The multipart body has no closing boundary.")
        if not self._names:
            raise InvalidError(_IMAGE, "is required", "missing")
        digests.check_body(self._hashes)
        groups = self._parsed_groups()
        named = tuple(
            Photo(name=name, group=group, size=len(data))
            for name, group, data in zip(self._names, groups, self._content, strict=True)
        )
        return Photos(named, tuple(bytes(data) for data in self._content))

    def _feed(self, decoder: multipart.StreamDecoder, piece: bytes) -> None:
        for event in decoder.events(piece):
            if isinstance(event, File):
                self._begin_photo(event)
            elif isinstance(event, Field):
                self._begin_text(event)
            elif isinstance(event, Data):
                self._part += event.data
                if self._part is self._groups and len(self._part) > _OVERHEAD:
                    raise RefusedError(
                        ErrorCode.PAYLOAD_TOO_LARGE, "The field is too large.", _GROUPS
                    )

    def _begin_photo(self, part: File) -> None:
        if part.name != _IMAGE:
            raise InvalidError(multipart.printable(part.name), "is not a file of this route")
        if len(self._names) == self._limits.max_images:
            raise InvalidError(
                _IMAGE, f"must be given {self._limits.max_images} times at most", "too_long"
            )
        self._names.append(multipart.printable(part.filename or "", _LONGEST_NAME))
        self._part = bytearray()
        self._content.append(self._part)

    def _begin_text(self, part: Field) -> None:
        if part.name == _IMAGE:
            raise InvalidError(_IMAGE, "must be a file, with a `filename`")
        if part.name != _GROUPS:
            name = multipart.printable(part.name)
            raise InvalidError(name, "is not a field of this route", "extra_forbidden")
        if self._groups is not None:
            raise InvalidError(_GROUPS, "must be given once")
        self._groups = self._part = bytearray()

    def _parsed_groups(self) -> list[Text | None]:
        if self._groups is None:
            return [None] * len(self._names)
        try:
            found = _groups.validate_python(strict_json.parse(bytes(self._groups)))
        except strict_json.InvalidJsonError as error:
            raise InvalidError(_GROUPS, f"must be a JSON array; it {error}") from error
        except ValidationError as error:
            raise InvalidError(_GROUPS, "must be a JSON array of names or null") from error
        if len(found) != len(self._names):
            raise InvalidError(_GROUPS, f"must have an entry for each of {len(self._names)} photos")
        return found
