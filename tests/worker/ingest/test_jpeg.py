"""JPEGs that decode although they are damaged, and whole ones that only look odd."""

import io
import random

import pytest
from PIL import Image

from worker.ingest import jpeg, sniff


def _photo(**options: object) -> bytes:
    out = io.BytesIO()
    noise = Image.frombytes("RGB", (320, 240), random.Random(7).randbytes(320 * 240 * 3))
    noise.resize((640, 480)).save(out, "JPEG", **options)
    return out.getvalue()


KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 40},
    "best": {"quality": 98, "subsampling": 0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_photos_are_sound(kind: str) -> None:
    """A merchant's good photos would be refused."""
    data = _photo(**KINDS[kind])
    assert not jpeg.is_damaged(data)
    assert not jpeg.is_damaged(data + b"tail \xff\xd9\xff\xda")


@pytest.mark.parametrize("kind", KINDS)
def test_a_scan_with_a_hole_is_damaged(kind: str) -> None:
    """Half a photo of noise would be trained on as a mug."""
    data = _photo(**KINDS[kind])
    scan = data.find(b"\xff\xda") + 20
    for share in (0.2, 0.5, 0.8):
        start = scan + int((len(data) - scan) * share)
        for hole in (data[:start] + data[start + 2000 :], _zeroed(data, start, 2000)):
            Image.open(io.BytesIO(hole)).load()
            assert sniff.jpeg_markers(hole, len(hole)).ended
            assert jpeg.is_damaged(hole), (kind, share)


def _zeroed(data: bytes, start: int, count: int) -> bytes:
    return data[:start] + bytes(count) + data[start + count :]


@pytest.mark.parametrize("padding", [b"\x00", b"\x00" * 5000, b"\xff" * 3, b"\x55" * 64, b"abc"])
def test_padding_before_the_end_is_harmless(padding: bytes) -> None:
    """Cameras that fill their last sector would have all their photos refused."""
    data = _photo()
    assert not jpeg.is_damaged(data[:-2] + padding + data[-2:])


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours(mode: str) -> None:
    """Scans and print files would be refused."""
    out = io.BytesIO()
    Image.linear_gradient("L").convert(mode).save(out, "JPEG")
    assert not jpeg.is_damaged(out.getvalue())
