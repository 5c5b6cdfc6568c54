"""One file's bytes in, a clean copy or a verdict out; runs in sandboxed children only.

The clean copy is our own encoder's work on the decoded pixels: metadata, trailing bytes and
whatever else rode along is gone. PNG stays PNG, so that nothing is lost; JPEG becomes JPEG of
quality 95 without chroma subsampling and WebP becomes WebP of quality 95, because PNGs of
photos would take five to ten times the space for a difference below what training sees.
"""

import hashlib
import io
import warnings
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from PIL import Image, ImageFile, ImageOps

from core.settings import UploadLimits
from regraft.contract.verdict import Verdict
from worker.ingest import jpeg, sniff

Made = TypeVar("Made")

THUMBNAIL = (256, 256)  # pixels that it fits in
_SAVE: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {"compress_level": 6},
    "WEBP": {"quality": 95, "method": 2},
}
_MOST_SCANS = 100  # a camera or a web encoder writes ten; each costs a pass over all pixels
_MOST_SEGMENTS = 20_000
_WIDE_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})


class RejectedError(Exception):
    """A file that is left out: its verdict, and why in words for its owner."""

    def __init__(self, verdict: Verdict, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.message = message


class Clean(NamedTuple):
    """A clean copy: its bytes, those of a small JPEG, the hash of what is seen, size in pixels."""

    data: bytes
    thumbnail: bytes
    content: str
    width: int
    height: int


def prepare(limits: UploadLimits) -> None:
    """Set Pillow up for strangers' files; refuse to work with half-decoded images."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise RuntimeError("LOAD_TRUNCATED_IMAGES is set: cut images would pass as whole ones")
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def clean(data: bytes, limits: UploadLimits) -> Clean:
    """Decode a file and encode it anew.

    Raises:
        RejectedError: the file is left out.
    """
    image, kind = _admitted(data, limits)
    _load(image.load, data, kind)
    pixels = _plain(_oriented(image))
    # The encoders would write the colour profile and the comments they find here.
    pixels.info = {}
    encoded = io.BytesIO()
    pixels.save(encoded, format=kind, **_SAVE[kind])
    digest = hashlib.sha256(f"{pixels.mode} {pixels.width} {pixels.height} ".encode())
    digest.update(pixels.tobytes())
    width, height = pixels.size
    return Clean(encoded.getvalue(), _thumbnail(pixels), digest.hexdigest(), width, height)


def _thumbnail(pixels: Image.Image) -> bytes:
    """Shrink an image, which is not needed any more, and encode it."""
    pixels.thumbnail(THUMBNAIL)
    encoded = io.BytesIO()
    pixels.save(encoded, format="JPEG", quality=80)
    return encoded.getvalue()


def seen(data: bytes, limits: UploadLimits, look: Callable[[bytes], Made]) -> Made:
    """Return what `look`, which decodes the file itself, makes of one that `clean` would take.

    Raises:
        RejectedError: the file is left out.
    """
    image, kind = _admitted(data, limits)
    image.close()
    return _load(lambda: look(data), data, kind)


def _admitted(data: bytes, limits: UploadLimits) -> tuple[Image.Image, str]:
    """Return an image of which only the header was read, and its format."""
    kind = _kind(data)
    if kind == "JPEG":
        _check_work(data)
    image = _open(data, kind)
    _check_shape(image, limits)
    if getattr(image, "is_animated", False) and kind != "JPEG":
        raise RejectedError(Verdict.ANIMATED, "The image is animated; send one picture.")
    return image, kind


def _kind(data: bytes) -> str:
    if not data:
        raise RejectedError(Verdict.NOT_AN_IMAGE, "The file is empty.")
    kind = sniff.decoded_format(data)
    if kind is not None:
        if kind == "WEBP" and sniff.is_animated_webp(data):
            raise RejectedError(Verdict.ANIMATED, "The image is animated; send one picture.")
        return kind
    other = sniff.other_format(data)
    if other is not None:
        message = f"{other} is not taken; send JPEG, PNG or WebP."
        raise RejectedError(Verdict.UNSUPPORTED_FORMAT, message)
    raise RejectedError(Verdict.NOT_AN_IMAGE, "The file is not an image.")


def _check_work(data: bytes) -> None:
    """Refuse a JPEG whose few bytes would keep a decoder busy for minutes."""
    found = sniff.jpeg_markers(data, _MOST_SEGMENTS)
    if found.scans > _MOST_SCANS or found.segments >= _MOST_SEGMENTS:
        raise RejectedError(
            Verdict.DECODER_FAILED,
            f"The JPEG is not decoded: it has over {_MOST_SCANS} scans or {_MOST_SEGMENTS} "
            "segments. Save it anew.",
        )


def _open(data: bytes, kind: str) -> Image.Image:
    """Read the header; no pixel is decoded yet."""
    try:
        return Image.open(io.BytesIO(data), formats=(kind,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RejectedError(Verdict.TOO_MANY_PIXELS, "The image has too many pixels.") from error
    except Exception as error:
        raise _broken(data, kind) from error


def _check_shape(image: Image.Image, limits: UploadLimits) -> None:
    """Judge an image by the size in its header."""
    width, height = image.size
    if min(width, height) < 1:
        raise RejectedError(Verdict.CORRUPT, "The image has no pixels.")
    shape = f"{width} x {height} pixels"
    if width * height > limits.max_pixels:
        raise RejectedError(
            Verdict.TOO_MANY_PIXELS, f"{shape}: more than {limits.max_pixels} in all."
        )
    if max(width, height) > limits.max_aspect_ratio * min(width, height):
        raise RejectedError(
            Verdict.EXTREME_RATIO,
            f"{shape}: one side is over {limits.max_aspect_ratio} times the other.",
        )
    if min(width, height) < limits.min_side:
        raise RejectedError(Verdict.TOO_SMALL, f"{shape}: under {limits.min_side} on a side.")


def _load(decode: Callable[[], Made], data: bytes, kind: str) -> Made:
    """Return what decoding every pixel makes; whatever a decoder raises is the file's fault."""
    if sniff.lacks_end(data, kind) or (kind == "PNG" and not sniff.has_sound_chunks(data)):
        raise _broken(data, kind)
    try:
        made = decode()
    except MemoryError:
        raise
    except Exception as error:
        raise _broken(data, kind) from error
    if kind == "JPEG" and jpeg.is_damaged(data):
        raise _broken(data, kind)
    return made


def _broken(data: bytes, kind: str) -> RejectedError:
    if not sniff.lacks_end(data, kind):
        return RejectedError(Verdict.CORRUPT, f"The {kind} is damaged.")
    # A cut PNG has lost its checksums, which is what the verdict of a damaged one is about.
    verdict = Verdict.CORRUPT if kind == "PNG" else Verdict.TRUNCATED
    return RejectedError(verdict, f"The {kind} ends before the image does.")


def _oriented(image: Image.Image) -> Image.Image:
    """Turn the image as its camera meant; metadata that cannot be read turns nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - metadata of strangers raises anything
        return image


def _plain(image: Image.Image) -> Image.Image:
    """Return 8-bit grey or RGB; what is transparent becomes white."""
    if image.mode in _WIDE_MODES:
        # `convert` alone would cut 16 bits at 255 instead of scaling them.
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return image.convert("L" if image.mode in {"1", "L"} else "RGB")
