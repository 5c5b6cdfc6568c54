"""A multipart upload on its way to a temporary file: streamed, hashed, and deleted always."""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from werkzeug.sansio.multipart import Data, Field, File

from api import digests
from api.bodies import pieces
from api.multipart import StreamDecoder, boundary, invalid, printable
from api.services import Services
from core import strict_json
from core.refusals import InvalidError, RefusedError
from regraft.contract.errors import ErrorCode

_OVERHEAD = 4 * 1024 * 1024  # of boundaries and text fields beside the file itself
_BESIDE_PARTS = 64 * 1024  # of those, what may stand outside the parts' data: it is held in memory
_FORGOTTEN_SECONDS = 3600.0
_SWEEP_SECONDS = 600.0


_swept: dict[Path, float] = {}  # when this process last swept each folder of uploads


class Form(NamedTuple):
    """The text fields that a route takes, which of them may be long, and if it must have a file."""

    names: frozenset[str]
    long: frozenset[str] = frozenset()
    wants_file: bool = True


class Upload(NamedTuple):
    """A received file with its sha256 in hex and size in bytes, and the text fields beside it.

    Where none came it is empty.
    """

    path: Path
    sha256: str
    size: int
    fields: dict[str, str]
    has_file: bool


@contextlib.contextmanager
def received(services: Services, form: Form) -> Iterator[Upload]:
    """Receive the `file` part and the text fields of a form; the file goes with the block.

    Where a field names an `upload` there must be no file.

    Raises `unsupported_media_type`, `invalid_multipart`, `incomplete_body`,
    `payload_too_large`, or `validation_failed` for a part that is missing, repeated or unknown.
    """
    _sweep_now_and_then(services)
    services.uploads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=services.uploads) as folder:
        path = Path(folder) / "upload"
        with path.open("wb") as target:
            upload = _Receiver(services, path, target, form).run()
        yield upload


def sweep(services: Services) -> None:
    """Delete what a killed process left behind: what nobody has written to for an hour."""
    _swept[services.uploads] = time.monotonic()
    with contextlib.suppress(FileNotFoundError):
        for folder in services.uploads.iterdir():
            written = _last_written(folder)
            if written is not None and time.time() - written > _FORGOTTEN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _sweep_now_and_then(services: Services) -> None:
    """Sweep once in ten minutes: a process that lives for months outlives many that are killed."""
    last = _swept.get(services.uploads)
    if last is None or time.monotonic() - last > _SWEEP_SECONDS:
        sweep(services)


def _last_written(folder: Path) -> float | None:
    """Return when a folder or anything in it was written to; None if it has gone meanwhile."""
    times = []
    with contextlib.suppress(OSError):
        for path in (folder, *folder.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                times.append(path.stat().st_mtime)
    return max(times, default=None)


def parsed_object(text: str, param: str) -> dict[str, object]:
    """Return a text field that holds one JSON object, each name in it once."""
    found = _parsed(text, param, "object")
    if not isinstance(found, dict):
        raise InvalidError(param, "must be a JSON object")
    return found


def parsed_list(text: str, param: str) -> list[object]:
    """Return a text field that holds one JSON array."""
    found = _parsed(text, param, "array")
    if not isinstance(found, list):
        raise InvalidError(param, "must be a JSON array")
    return found


def _parsed(text: str, param: str, kind: str) -> object:
    try:
        return strict_json.parse(text)
    except strict_json.InvalidJsonError as error:
        raise InvalidError(param, f"must be a JSON {kind}; it {error}") from error


class _Receiver:
    """The state of one upload: which part is being read, what has come so far."""

    def __init__(self, services: Services, path: Path, target: BinaryIO, form: Form) -> None:
        self._services = services
        self._path = path
        self._target = target
        self._form = form
        self._file_hash = hashlib.sha256()
        self._body_hashes = digests.asked_for()
        self._size = 0
        self._beside = 0
        self._fields: dict[str, bytearray] = {}
        self._part: str | None = None
        self._has_file = False

    def run(self) -> Upload:
        """Read the body to its end."""
        limits = self._services.settings.uploads
        decoder = StreamDecoder(boundary(), self._services.api.max_parts)
        try:
            for piece in pieces(limits.max_bytes + _OVERHEAD):
                # `sweep` tells a slow upload from a forgotten one by this time.
                os.utime(self._path)
                for digest in self._body_hashes.values():
                    digest.update(piece)
                self._feed(decoder, piece)
        except ValueError as error:
            raise invalid("The multipart body is malformed.") from error
        if not decoder.is_over:
            raise invalid("The multipart body has no closing boundary.")
        self._check_file()
        digests.check_body(self._body_hashes)
        digests.check_file(self._file_hash.hexdigest())
        sha256, texts = self._file_hash.hexdigest(), self._texts()
        return Upload(self._path, sha256, self._size, texts, self._has_file)

    def _check_file(self) -> None:
        given = self._has_file + ("upload" in self._fields)
        if given > 1 or (given == 0 and self._form.wants_file):
            raise InvalidError("file", "is required, or an `upload`, and not both", "missing")

    def _feed(self, decoder: StreamDecoder, piece: bytes) -> None:
        """Take the events that a piece makes; what follows the last boundary makes none."""
        self._beside += len(piece)
        for event in decoder.events(piece):
            if isinstance(event, File | Field):
                self._begin(event)
            elif isinstance(event, Data):
                self._beside -= len(event.data)
                self._take(event.data)
        if self._beside > _BESIDE_PARTS:
            raise RefusedError(
                ErrorCode.PAYLOAD_TOO_LARGE, "Too much stands outside the parts of the form."
            )

    def _begin(self, part: File | Field) -> None:
        name = part.name or ""
        if isinstance(part, File):
            if name != "file":
                raise InvalidError(name[:64] or "file", "is not a file of this route")
            if self._has_file:
                raise InvalidError("file", "must be given once")
            self._has_file, self._part = True, None
            return
        if name == "file":
            raise InvalidError("file", "must be a file, with a `filename`")
        if name not in self._form.names:
            raise InvalidError(printable(name), "is not a field of this route", "extra_forbidden")
        if name in self._fields:
            raise InvalidError(name, "must be given once")
        self._fields[name], self._part = bytearray(), name

    def _take(self, data: bytes) -> None:
        if self._part is None:
            self._size += len(data)
            if self._size > self._services.settings.uploads.max_bytes:
                raise RefusedError(ErrorCode.PAYLOAD_TOO_LARGE, "The file is too large.", "file")
            self._file_hash.update(data)
            self._target.write(data)
            return
        held = self._fields[self._part]
        held.extend(data)
        api = self._services.api
        most = api.max_json_bytes if self._part in self._form.long else api.max_field_bytes
        if len(held) > most:
            raise RefusedError(ErrorCode.PAYLOAD_TOO_LARGE, "A field is too large.", self._part)

    def _texts(self) -> dict[str, str]:
        found = {}
        for name, data in self._fields.items():
            try:
                found[name] = data.decode("utf-8")
            except UnicodeDecodeError as error:
                raise InvalidError(name, "must be UTF-8") from error
        return found
