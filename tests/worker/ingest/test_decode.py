"""What is made of each kind of file: a clean copy, or a verdict that its owner understands."""

import io
import random
import warnings
import zlib
from collections.abc import Iterator

import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from core.settings import UploadLimits
from regraft.contract.verdict import Verdict
from worker.ingest import decode, sniff
from worker.ingest.decode import RejectedError

LIMITS = UploadLimits()
ORIENTATION = 0x0112
GPS = 0x8825


@pytest.fixture(autouse=True)
def prepared() -> Iterator[None]:
    """Pillow as the child sets it up, and as it was before afterwards."""
    most = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        decode.prepare(LIMITS)
        yield
    Image.MAX_IMAGE_PIXELS = most


def _photo(size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    gradient = Image.linear_gradient("L").resize(size)
    bands = (gradient, gradient.rotate(180), gradient.rotate(90), gradient)
    return (
        Image.merge(mode, bands[: len(mode)]) if mode in {"RGB", "RGBA"} else gradient.convert(mode)
    )


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _verdict(data: bytes) -> Verdict:
    with pytest.raises(RejectedError) as caught:
        decode.clean(data, LIMITS)
    assert caught.value.message
    return caught.value.verdict


def _seen(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_is_kept_in_its_format(kind: str) -> None:
    """A merchant's photos would be refused, or grow tenfold."""
    made = decode.clean(_encoded(_photo(), kind), LIMITS)
    again = _seen(made.data)
    assert (again.format, again.size, again.mode) == (kind, (40, 30), "RGB")
    assert (made.width, made.height) == (40, 30)


def test_a_png_loses_nothing() -> None:
    """Training would see other pixels than the merchant's."""
    made = decode.clean(_encoded(_photo(), "PNG"), LIMITS)
    assert _seen(made.data).tobytes() == _photo().tobytes()


def test_a_jpeg_loses_next_to_nothing() -> None:
    """Blurred colours would cost accuracy on fabrics."""
    source = _seen(_encoded(_photo(), "JPEG", quality=80)).tobytes()
    made = _seen(decode.clean(_encoded(_photo(), "JPEG", quality=80), LIMITS).data).tobytes()
    assert max(abs(one - other) for one, other in zip(source, made, strict=True)) <= 6


def test_the_same_picture_has_the_same_content_in_any_container() -> None:
    """A repeat under another name would leak from training into evaluation."""
    plain = decode.clean(_encoded(_photo(), "PNG"), LIMITS)
    packed = decode.clean(_encoded(_photo(), "PNG", compress_level=9), LIMITS)
    lossless = decode.clean(_encoded(_photo(), "WEBP", lossless=True), LIMITS)
    other = decode.clean(_encoded(_photo().rotate(180), "PNG"), LIMITS)
    assert plain.content == packed.content == lossless.content
    assert plain.data == packed.data
    assert other.content != plain.content


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_and_says_nothing_else(orientation: int) -> None:
    """Products would lie on their side, and customers' homes would be on the map."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(GPS)[2] = (52.0, 31.0, 0.0)
    exif[0x010E] = "SECRET"
    data = _encoded(_photo(), "JPEG", exif=exif, comment=b"SECRET", icc_profile=b"SECRET" * 100)
    made = decode.clean(data, LIMITS)
    upright = (30, 40) if orientation > 4 else (40, 30)
    assert (made.width, made.height) == upright
    assert b"SECRET" not in made.data
    assert not _seen(made.data).getexif()
    assert "icc_profile" not in _seen(made.data).info


def test_metadata_that_cannot_be_read_turns_nothing() -> None:
    """A camera's odd metadata would cost a good photo."""
    data = _encoded(_photo(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff\x01")
    assert decode.clean(data, LIMITS).width == 40


def test_what_hangs_on_to_an_image_is_dropped() -> None:
    """A script or a zip in a photo's tail would be served from our address."""
    data = _encoded(_photo(), "JPEG") + b"<?php system('id'); ?>PK\x03\x04"
    assert b"php" not in decode.clean(data, LIMITS).data


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGBA", "LA", "CMYK", "YCbCr"])
def test_odd_modes_become_plain(mode: str) -> None:
    """Scans, cut-outs and print files would be refused for no reason a merchant knows."""
    image = _photo().convert("L").convert("I;16") if mode == "I;16" else _photo().convert(mode)
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    assert _seen(decode.clean(_encoded(image, kind), LIMITS).data).mode in {"L", "RGB"}


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    """A 16-bit scan would become a white sheet."""
    wide = Image.new("I;16", (16, 16), 65535 // 2)
    made = _seen(decode.clean(_encoded(wide, "PNG"), LIMITS).data)
    assert made.getpixel((0, 0)) == pytest.approx(127, abs=1)


def test_what_is_transparent_becomes_white() -> None:
    """A cut-out product would stand on whatever colour its pixels hide."""
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    made = _seen(decode.clean(_encoded(image, "PNG"), LIMITS).data)
    assert made.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"", Verdict.NOT_AN_IMAGE),
        (b"dear sirs, please find attached", Verdict.NOT_AN_IMAGE),
        (b"<!doctype html><title>404</title>", Verdict.NOT_AN_IMAGE),
        (b"PK\x03\x04 a zip", Verdict.NOT_AN_IMAGE),
        (b"<?xml version='1.0'?><svg onload='x()'/>", Verdict.UNSUPPORTED_FORMAT),
        (b"%PDF-1.7", Verdict.UNSUPPORTED_FORMAT),
        (b"\x00\x00\x00\x18ftypheic\x00", Verdict.UNSUPPORTED_FORMAT),
        (_encoded(_photo(), "GIF"), Verdict.UNSUPPORTED_FORMAT),
        (_encoded(_photo(), "BMP"), Verdict.UNSUPPORTED_FORMAT),
        (_encoded(_photo(), "TIFF"), Verdict.UNSUPPORTED_FORMAT),
        (_encoded(_photo((7, 40)), "PNG"), Verdict.TOO_SMALL),
        (_encoded(_photo((1, 1)), "PNG"), Verdict.TOO_SMALL),
        (_encoded(_photo((1, 20000)), "PNG"), Verdict.EXTREME_RATIO),
        (_encoded(Image.new("L", (5001, 5000)), "PNG"), Verdict.TOO_MANY_PIXELS),
        (_encoded(Image.new("1", (10000, 10000)), "PNG"), Verdict.TOO_MANY_PIXELS),
        (_encoded(Image.new("1", (30000, 30000)), "PNG"), Verdict.TOO_MANY_PIXELS),
    ],
    ids=[
        *("empty", "text", "html", "zip", "svg", "pdf", "heic", "gif", "bmp", "tiff"),
        *("narrow", "dot", "thread", "25 Mpx + 1", "100 Mpx", "900 Mpx"),
    ],
)
def test_what_is_left_out_has_its_reason(data: bytes, verdict: Verdict) -> None:
    """A merchant would not know which files to send again, and how."""
    assert _verdict(data) is verdict


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_left_out(kind: str) -> None:
    """One frame of a film would pass for the product."""
    frames = [_photo().rotate(90 * turn) for turn in range(3)]
    data = _encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert _verdict(data) is Verdict.ANIMATED


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("JPEG", Verdict.TRUNCATED), ("WEBP", Verdict.TRUNCATED), ("PNG", Verdict.CORRUPT)],
)
def test_a_file_that_was_cut_off_is_told_from_a_damaged_one(
    kind: str, verdict: Verdict, share: float
) -> None:
    """A grey half of a photo would be trained on, or the wrong cause reported."""
    data = _encoded(_photo((200, 200)), kind)
    assert _verdict(data[: max(16, int(len(data) * share))]) is verdict


def test_a_cut_photo_with_a_thumbnail_is_truncated() -> None:
    """Every phone's photo holds a whole thumbnail, which says nothing of the photo itself."""
    thumbnail = _encoded(_photo((16, 16)), "JPEG")
    data = _encoded(_photo((200, 200)), "JPEG", exif=b"Exif\x00\x00" + thumbnail)
    assert _verdict(data[: len(data) * 3 // 4]) is Verdict.TRUNCATED


def _with_scans(count: int) -> bytes:
    """Return a progressive JPEG of a few bytes for each scan."""
    data = _encoded(_photo(), "JPEG", progressive=True)
    last = data.rfind(b"\xff\xda")
    there = sniff.jpeg_markers(data, len(data)).scans
    return data[:-2] + data[last:-2] * (count - there) + data[-2:]


def test_a_jpeg_of_endless_scans_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 kB would keep everybody's ingest waiting for minutes."""
    assert decode.clean(_with_scans(100), LIMITS).width == 40
    monkeypatch.setattr(Image, "open", None)
    for hidden in (b"", b"\xff\xd0", b"\xff\x01", b"\xff\xff", b"\x00\x01"):
        many = _with_scans(101).replace(b"\xff\xda", hidden + b"\xff\xda")
        with pytest.raises(RejectedError, match="over 100 scans") as caught:
            decode.clean(many, LIMITS)
        assert caught.value.verdict is Verdict.DECODER_FAILED
    empty = b"\xff\xd8" + b"\xff\xfe\x00\x02" * 30_000
    with pytest.raises(RejectedError, match="segments"):
        decode.clean(empty, LIMITS)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_whole_photo_may_have_any_tail(progressive: bool) -> None:
    """Motion photos, and pictures that a shop has marked, would be refused as cut."""
    options = {"progressive": progressive, "restart_marker_blocks": 2, "quality": 95}
    data = _encoded(_photo((200, 200)), "JPEG", **options)
    whole = decode.clean(data, LIMITS)
    noise = [random.Random(seed).randbytes(5000) for seed in range(50)]
    for tail in (b"<?php ?>", b"\xff\xda", b"\xff\xff", b"PK\x03\x04\xff\xda\x00\x0c", *noise):
        assert decode.clean(data + tail, LIMITS) == whole


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_truncated(progressive: bool) -> None:
    """Half a product would be trained on, or the merchant told of another fault."""
    thumbnail = b"Exif\x00\x00" + _encoded(_photo((16, 16)), "JPEG")
    noise = Image.frombytes("RGB", (40, 40), random.Random(1).randbytes(4800))
    data = _encoded(noise, "JPEG", exif=thumbnail, progressive=progressive)
    for cut in range(4, len(data) - 1, 7):
        assert (cut, _verdict(data[:cut])) == (cut, Verdict.TRUNCATED)


def test_damage_within_a_file_is_corrupt() -> None:
    """Random colours would be trained on."""
    png = bytearray(_encoded(_photo((200, 200)), "PNG"))
    png[len(png) // 2] ^= 0xFF
    assert _verdict(bytes(png)) is Verdict.CORRUPT


def _chunks(data: bytes) -> list[tuple[int, bytes]]:
    """Return where each chunk of a PNG starts, and its type."""
    found, at = [], 8
    while at < len(data):
        found.append((at, data[at + 4 : at + 8]))
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return found


def test_every_chunk_of_a_png_has_its_checksum() -> None:
    """A file that was damaged on a disk would be trained on as if it were whole."""
    note = PngInfo()
    note.add_text("Comment", "studio 4")
    image = Image.frombytes("RGB", (300, 300), random.Random(1).randbytes(270_000)).quantize(64)
    png = _encoded(image, "PNG", pnginfo=note, transparency=3)
    assert decode.clean(png + b"tail", LIMITS).width == 300
    chunks = _chunks(png)
    assert {b"IHDR", b"PLTE", b"tRNS", b"tEXt", b"IDAT", b"IEND"} == {kind for _, kind in chunks}
    for at, kind in chunks:
        damaged = bytearray(png)
        damaged[at + 8 + int.from_bytes(png[at : at + 4], "big")] ^= 1
        assert (kind, _verdict(bytes(damaged))) == (kind, Verdict.CORRUPT)


def test_a_png_without_pixels_is_corrupt() -> None:
    """A decoder would divide by nothing."""
    png = bytearray(_encoded(_photo(), "PNG"))
    png[16:24] = bytes(8)
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    assert _verdict(bytes(png)) is Verdict.CORRUPT


def test_half_images_are_never_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that sets this switch would turn every cut photo into a good one."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(RuntimeError, match="LOAD_TRUNCATED_IMAGES"):
        decode.prepare(LIMITS)


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("RGBA", "PNG"), ("L", "WEBP")])
def test_a_thumbnail_is_a_small_jpeg(mode: str, kind: str) -> None:
    """A page of a hundred photos would bring a hundred megabytes, or their places of taking."""
    given = _photo((900, 300), mode)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    made = decode.clean(_encoded(given, kind, exif=exif), LIMITS)
    small = _seen(made.thumbnail)
    assert (small.format, small.size) == ("JPEG", (85, 256))
    assert (made.width, made.height) == _seen(made.data).size == (300, 900)
    assert len(made.thumbnail) < 20_000
    assert not small.getexif()


def test_a_small_picture_is_not_blown_up() -> None:
    """Blurred pixels would be shown for what was uploaded."""
    made = decode.clean(_encoded(_photo((40, 30)), "PNG"), LIMITS)
    assert _seen(made.thumbnail).size == (40, 30)
