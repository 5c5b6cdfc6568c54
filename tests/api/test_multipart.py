"""Forms that come in any pieces: what is read does not depend on where the network cut them."""

import hashlib
import io
import itertools

from werkzeug.sansio.multipart import Data, Field, File

from api.multipart import StreamDecoder
from tests.support.api import Api, zipped
from tests.support.merchants import Merchant

_HEAD = b'--xx\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
# Ends of lines, and almost-boundaries, where a decoder may take one for the other.
_FILE = b"PK\r\n--x\r\n--\r\n--xx-y\r\r\n\n-- \r\n--xxx\r\n--xx-\r\n"


def _form(padding: bytes) -> bytes:
    end = b"\r\n--xx" + padding + b"\r\n"
    file = _HEAD % (b"file", b'; filename="a.zip"') + _FILE + end
    return file + (_HEAD % (b"name", b""))[6:] + b"set\r\n--xx--" + padding + b"\r\n"


def _read(pieces: list[bytes]) -> list[tuple[str | None, bytes]]:
    decoder = StreamDecoder(b"xx", 8)
    parts: list[tuple[str | None, bytes]] = []
    for event in itertools.chain.from_iterable(map(decoder.events, pieces)):
        if isinstance(event, File | Field):
            parts.append((event.name, b""))
        elif isinstance(event, Data):
            parts[-1] = (parts[-1][0], parts[-1][1] + event.data)
    assert decoder.is_over
    return parts


def test_every_cut_of_a_form() -> None:
    """A byte would be added to some uploads, depending on the network, and break their zip."""
    for padding in (b"", b" ", b" \t  "):
        body = _form(padding)
        for first in range(len(body) + 1):
            for step in (1, 2, 5, 6, 7, 400):
                cuts = [0, first, *range(first + step, len(body), step), len(body)]
                pieces = [body[start:stop] for start, stop in itertools.pairwise(cuts)]
                assert _read(pieces) == [("file", _FILE), ("name", b"set")], (padding, first, step)


def test_padding_without_an_end_is_not_held() -> None:
    """A body of nothing but spaces behind a boundary would fill the memory."""
    decoder = StreamDecoder(b"xx", 8)
    for _ in range(100):
        list(decoder.events(b"\r\n--xx" + b" " * 1000))
        assert len(decoder._held) < 2100


class _Cut(io.BytesIO):
    """A connection that gives what it has up to a cut, then the rest."""

    def __init__(self, data: bytes, cut: int) -> None:
        super().__init__(data)
        self._cut = cut

    def read(self, size: int | None = -1) -> bytes:
        before = self._cut - self.tell()
        return super().read(before if before > 0 else size)


def test_an_upload_that_is_cut_behind_its_boundary(api: Api, acme: Merchant) -> None:
    """The zip of an unlucky merchant would have one byte too many, and be refused."""
    data = zipped()
    body = _HEAD % (b"file", b'; filename="a.zip"') + data + b"\r\n"
    body += _HEAD % (b"name", b"") + b"set\r\n--xx--\r\n"
    end = body.index(data) + len(data)
    for cut in range(end, end + 10):
        given = {"input_stream": _Cut(body, cut), "content_length": len(body)}
        headers = {"X-Content-SHA256": hashlib.sha256(data).hexdigest()}
        kind = "multipart/form-data; boundary=xx"
        response = api.post("/v1/datasets", acme, content_type=kind, headers=headers, **given)
        assert response.status_code == 202, cut
