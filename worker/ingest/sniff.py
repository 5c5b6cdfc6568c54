"""What a file is by its first bytes, whatever its name says. May import the standard library."""

_DECODED = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"))
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
        # Behind the last scan's beginning: a thumbnail in the metadata has an end of its own.
        return b"\xff\xd9" not in data[data.rfind(b"\xff\xda") :]
    if kind == "WEBP":
        return len(data) < int.from_bytes(data[4:8], "little") + 8
    return b"IEND" not in data


def is_animated_webp(data: bytes) -> bool:
    """Tell from the header whether a WebP has frames, without counting them."""
    return data[12:16] == b"VP8X" and bool(data[20:21] and data[20] & _WEBP_ANIMATED)
