"""Recognise products with the model in this folder: `python predict.py photo.jpg folder/`.

Needs onnxruntime, numpy and Pillow, nothing else. Reads `model.onnx`, `labels.json` and
`preprocess.json` beside it. To use it from Python: `Predictor().answer([jpeg_bytes])`.
"""

import argparse
import io
import json
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image, ImageOps, UnidentifiedImageError

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

MAX_PIXELS = 80_000_000
MAX_RATIO = 100  # longer side to shorter side, in pixels
BATCH = 8  # images whose activations stay in a processor's caches
THREADS = 2  # that decode
# What Pillow raises on damaged files, by format.
BROKEN = (
    OSError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


class Settings(TypedDict):
    """How an image becomes the network's input: sizes in pixels, mean and std in 0-1."""

    resize: int
    input_size: int
    mean: list[float]
    std: list[float]
    interpolation: str


class Guess(TypedDict):
    """A label and its probability."""

    label: str
    probability: float


class Answer(TypedDict):
    """The likeliest label, whether it is too unlikely to be answered, and the likeliest few."""

    label: str
    probability: float
    abstained: bool
    top: list[Guess]


def prepare(data: bytes, settings: Settings) -> Floats:
    """Return the input tensor [3, input_size, input_size] of one encoded image.

    Raises:
        ValueError: the bytes are no image, or one too large or too narrow to be a product photo.
    """
    return normalised(square(data, settings), settings)


def normalised(pixels: Bytes, settings: Settings, out: Floats | None = None) -> Floats:
    """Return the input tensor [3, s, s] of pixels [s, s, 3], in `out` where that is given."""
    scaled = np.arange(256, dtype=np.float32) / np.float32(255)
    mean = np.asarray(settings["mean"], dtype=np.float32)
    std = np.asarray(settings["std"], dtype=np.float32)
    found = np.empty((3, *pixels.shape[:2]), dtype=np.float32) if out is None else out
    for place in range(3):
        levels = (scaled - mean[place]) / std[place]  # a pixel is one of 256: looked up
        # "clip" because numpy then writes at once; there is nothing to clip.
        np.take(levels, pixels[:, :, place], out=found[place], mode="clip")
    return found


def square(data: bytes, settings: Settings) -> Bytes:
    """Return the pixels [input_size, input_size, 3] that `prepare` makes a tensor of.

    Raises:
        ValueError: as `prepare`.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_size(image.size)
            # JPEG decodes straight to a smaller size, twice what is needed: half the time.
            image.draft(None, (2 * settings["resize"], 2 * settings["resize"]))
            cropped = _cropped(_to_rgb(ImageOps.exif_transpose(image)), settings)
    except UnidentifiedImageError as error:
        raise ValueError("is not an image of a known format") from error
    except BROKEN as error:
        raise ValueError(f"cannot be decoded: {error}") from error
    return np.asarray(cropped, dtype=np.uint8)


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"has more than {MAX_PIXELS} pixels")
    if max(size) > MAX_RATIO * min(size):
        raise ValueError(f"is more than {MAX_RATIO} times as long as wide")


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return `image` as 8-bit RGB, what is transparent in it on white."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        wide = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return image.convert("RGB")


def _cropped(image: Image.Image, settings: Settings) -> Image.Image:
    """Return the central square after the shorter side has been brought to `resize`."""
    shorter, crop = settings["resize"], settings["input_size"]
    width, height = image.size
    scale = shorter / min(width, height)
    size = (max(shorter, round(width * scale)), max(shorter, round(height * scale)))
    image = image.resize(size, Image.Resampling[settings["interpolation"].upper()])
    left, top = (size[0] - crop) // 2, (size[1] - crop) // 2
    return image.crop((left, top, left + crop, top + crop))


class Predictor:
    """The model of one folder, loaded once."""

    def __init__(self, folder: Path | None = None, num_threads: int = 0) -> None:
        folder = folder or Path(__file__).resolve().parent
        names = _read(folder / "labels.json")
        self.labels: list[str] = names["labels"]
        self.thresholds: list[float | None] = names["thresholds"]
        self.settings: Settings = _read(folder / "preprocess.json")
        runtime: Any = onnxruntime
        options = runtime.SessionOptions()
        options.intra_op_num_threads = num_threads
        # Threads that wait sleep: photos are decoded meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = runtime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def probabilities(self, images: Sequence[bytes]) -> Floats:
        """Return the probabilities [n, labels] of n encoded images.

        Raises:
            ValueError: one of them cannot be read as an image.
        """
        rows = [np.zeros((0, len(self.labels)), dtype=np.float32)]
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(images), BATCH):
                tensors = pool.map(self._prepared, images[start : start + BATCH])
                batch = {"images": np.stack(list(tensors))}
                rows.append(self._session.run(["probabilities"], batch)[0])
        return np.concatenate(rows)

    def _prepared(self, data: bytes) -> Floats:
        return prepare(data, self.settings)

    def answer(self, images: Sequence[bytes], top: int = 3) -> list[Answer]:
        """Return the answer to each encoded image, with its `top` likeliest labels, best first.

        It abstains below the threshold of its label, and always where the label has none: then
        nothing has shown that it is right often enough.
        """
        rows = self.probabilities(images)
        return [answer_of(row, self.labels, self.thresholds, top) for row in rows]


def answer_of(
    row: Floats, labels: Sequence[str], thresholds: Sequence[float | None], top: int
) -> Answer:
    """Return the answer that probabilities [labels] make, as `Predictor.answer`."""
    order = [int(number) for number in np.argsort(-row, kind="stable")]
    best, threshold = order[0], thresholds[order[0]]
    probability = float(row[best])
    return {
        "label": labels[best],
        "probability": probability,
        "abstained": threshold is None or probability < threshold,
        "top": [{"label": labels[i], "probability": float(row[i])} for i in order[:top]],
    }


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def find_images(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the given files, and the images inside the given folders in order of name."""
    for path in paths:
        if path.is_dir():
            inside = (file for file in sorted(path.rglob("*")) if file.is_file())
            yield from (file for file in inside if file.suffix.lower() in SUFFIXES)
        else:
            yield path


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Recognise products in photos.")
    parser.add_argument("paths", nargs="+", type=Path, help="photos, or folders of photos")
    parser.add_argument("--top", type=int, default=3, help="labels to show for each (default 3)")
    parser.add_argument("--json", action="store_true", help="one JSON object for each photo")
    return parser.parse_args(argv)


def _line(path: Path, answer: Answer, as_json: bool) -> str:
    if as_json:
        return json.dumps({"image": str(path), **answer}, ensure_ascii=False)
    shown = "  ".join(f"{guess['label']} {guess['probability']:.1%}" for guess in answer["top"])
    return f"{path}: {'abstains, perhaps ' if answer['abstained'] else ''}{shown}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the labels of each photo; return 1 if one could not be read, else 0."""
    arguments = _arguments(argv)
    predictor = Predictor()
    failed = False
    for path in find_images(arguments.paths):
        try:
            answer = predictor.answer([path.read_bytes()], arguments.top)[0]
        except (OSError, ValueError) as error:
            sys.stderr.write(f"{path}: {error}\n")
            failed = True
        else:
            sys.stdout.write(_line(path, answer, arguments.json) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
