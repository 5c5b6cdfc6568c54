"""What a file is by its first bytes, whatever its name says. May import the standard library."""

import re
import zlib
from typing import NamedTuple

_PNG = b"\x89PNG\r\n\x1a\n"
_DECODED = ((b"\xff\xd8\xff", "JPEG"), (_PNG, "PNG"))
_KNOWN = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
)
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
}
_WEBP_ANIMATED = 0x02
_SVG_WITHIN = 1024
# Markers that end a scan's data: no stuffing, no restart, none that a decoder steps over.
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
_JPEG_END = 0xD9
_JPEG_SCAN = 0xDA


class JpegMarkers(NamedTuple):
    """What lies between a JPEG's start and its end, or the end of the file."""

    segments: int
    scans: int
    ended: bool


def jpeg_markers(data: bytes, most: int) -> JpegMarkers:
    """Walk a JPEG's segments and scans, as a decoder does, up to `most` segments.

    A thumbnail in the metadata and whatever hangs on to the file behind its end are not seen.
    """
    at, scans = 2, 0
    for segments in range(most):
        found = _JPEG_MARKER.search(data, at)
        if found is None or data[found.end() - 1] == _JPEG_END:
            return JpegMarkers(segments, scans, found is not None)
        at = found.end()
        scans += data[at - 1] == _JPEG_SCAN
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return JpegMarkers(most, scans, ended=False)


def decoded_format(data: bytes) -> str | None:
    """Return `JPEG`, `PNG` or `WEBP`, the formats that are decoded; else None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _DECODED if data.startswith(magic)), None)


def other_format(data: bytes) -> str | None:
    """Return the name of an image format that is not taken; None for what is no image."""
    if data[4:8] == b"ftyp" and data[8:12] in _BRANDS:
        return _BRANDS[data[8:12]]
    head = data[:_SVG_WITHIN].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<") and b"<svg" in head:
        return "SVG"
    return next((name for magic, name in _KNOWN if data.startswith(magic)), None)


def lacks_end(data: bytes, kind: str) -> bool:
    """Tell whether a file ends before the mark or the length that its format ends with."""
    if kind == "JPEG":
        return not jpeg_markers(data, len(data)).ended
    if kind == "WEBP":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    return b"IEND" not in data


def has_sound_chunks(data: bytes) -> bool:
    """Tell whether every chunk of a PNG up to its end has the checksum that it says."""
    at = len(_PNG)
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        end = at + 8 + length
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if data[at + 4 : at + 8] == b"IEND":
            return True
        at = end + 4
    return False


def is_animated_webp(data: bytes) -> bool:
    """Tell from the header whether a WebP has frames, without counting them."""
    return data[12:16] == b"VP8X" and bool(data[20:21] and data[20] & _WEBP_ANIMATED)
