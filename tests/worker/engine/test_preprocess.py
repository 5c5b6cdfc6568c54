"""From photos as people send them to the pixels a network sees."""

import contextlib
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL.Image import Image as Picture

from regraft.contract.catalog import BACKBONES
from worker.engine.data import Image, load
from worker.engine.preprocess import batches, settings_of
from worker.engine.runspec import DataSource
from worker.engine.shipped.predict import Floats, prepare

SETTINGS = settings_of(BACKBONES["efficientnet_lite0"])
SAMPLES = Path(__file__).parents[3] / "samples" / "fashion-mnist"


def _encoded(picture: Picture, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def _ramp(width: int = 300, height: int = 200) -> Picture:
    across = np.linspace(0, 255, width, dtype=np.uint8)[None].repeat(height, 0)
    down = np.linspace(0, 255, height, dtype=np.uint8)[:, None].repeat(width, 1)
    return Pillow.fromarray(np.stack([across, down, 255 - across], axis=2))


def _prepared(picture: Picture, kind: str = "PNG", **options: object) -> Floats:
    return prepare(_encoded(picture, kind, **options), SETTINGS)


def test_a_photo_becomes_a_centred_square_in_range() -> None:
    """Every accuracy depends on it."""
    pixels = _prepared(_ramp())
    assert pixels.shape == (3, 224, 224)
    assert pixels.dtype == np.float32
    assert pixels.flags["C_CONTIGUOUS"]
    assert -1 <= pixels.min() < pixels.max() <= 1
    assert pixels[0].mean() == pytest.approx(0, abs=0.02)
    assert (np.diff(pixels[0, 100]) >= -0.02).all()


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK", "I;16", "I"])
def test_other_colour_modes_look_like_the_rgb_photo(mode: str) -> None:
    """A palette PNG or a 16-bit scan would be seen as black, and trained on."""
    grey = _ramp().convert("L")
    if mode == "I;16":
        picture = Pillow.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    elif mode == "I":
        picture = Pillow.fromarray(np.asarray(grey).astype(np.int32) * 257)
    else:
        picture = grey.convert(mode)
    expected = _prepared(grey if mode != "1" else grey.convert("1").convert("L"))
    found = _prepared(picture, "TIFF" if mode in {"CMYK", "I"} else "PNG")
    assert np.abs(expected - found).max() < 0.03


def test_what_is_transparent_is_white() -> None:
    """Cut-out product shots would stand on black while the shop shows them on white."""
    clear = Pillow.new("RGBA", (64, 64), (255, 0, 0, 0))
    assert (_prepared(clear) == 1).all()
    palette = Pillow.new("P", (64, 64), 0)
    palette.putpalette([255, 0, 0] * 256)
    assert (_prepared(palette, transparency=0) == 1).all()


def test_a_phone_photo_is_upright() -> None:
    """Portraits from phones are stored lying down with a note to turn them."""
    turned = Pillow.Exif()
    turned[0x0112] = 6
    lying = _ramp().transpose(Pillow.Transpose.ROTATE_90)
    upright = _prepared(_ramp(), "JPEG", quality=95)
    assert np.abs(_prepared(lying, "JPEG", quality=95, exif=turned) - upright).mean() < 0.02


def test_a_large_jpeg_is_decoded_small_and_looks_the_same() -> None:
    """The short cut that halves decoding would cost accuracy."""
    large = _ramp(2400, 1800)
    quick, slow = _prepared(large, "JPEG", quality=95), _prepared(large)
    assert np.abs(quick - slow).mean() < 0.01


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"just text, named .jpg", "not an image"),
        (b"", "not an image"),
        (_encoded(_ramp(), "JPEG")[:700], "cannot be decoded"),
        (_encoded(Pillow.new("L", (1200, 8))), "as long as wide"),
        (_encoded(Pillow.new("1", (9000, 9000))), "pixels"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(data: bytes, words: str) -> None:
    """One broken file would end a whole job, or the whole predictor."""
    with pytest.raises(ValueError, match=words):
        prepare(data, SETTINGS)


_SEEDS = [_encoded(_ramp(40, 30), kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP")]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow thinks aloud of damaged TIFF
@given(
    st.sampled_from(range(len(_SEEDS))), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=4)))
)
def test_damage_is_an_error_or_an_image_and_never_anything_else(
    number: int, damage: list[tuple[float, bytes]]
) -> None:
    """A merchant's one damaged file would crash the trainer."""
    data = _SEEDS[number]
    for place, junk in damage:
        at = int(place * len(data))
        data = data[:at] + junk + data[at + len(junk) :]
    with contextlib.suppress(ValueError):
        assert prepare(data, SETTINGS).shape == (3, 224, 224)


_TEXT = hashlib.sha256(b"text").hexdigest()
_BAD = {_TEXT: "is not an image of a known format"}


def test_batches_keep_the_order_and_name_what_is_unreadable(tmp_path: Path) -> None:
    """Features would be filed under the wrong image."""
    images = load(DataSource(folder=SAMPLES / "target"))[:20]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"text")
    bad = Image(_TEXT, "broken.png", "bag", None, None, broken, 0, 4)
    given_images = [*images[:3], bad, *images[3:]]
    found = list(batches(given_images, SETTINGS, 8))
    assert [len(batch.images) for batch in found] == [7, 8, 5]
    assert [image for batch in found for image in batch.images] == images
    assert [batch.unreadable for batch in found] == [_BAD, {}, {}]
    for batch in found:
        for image, pixels in zip(batch.images, batch.pixels, strict=True):
            assert np.array_equal(pixels.numpy(), prepare(image.read(), SETTINGS))
