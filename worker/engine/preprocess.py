"""From encoded images to batches of input tensors, by the function that the bundle ships.

There is one definition of preprocessing, `shipped.predict.prepare`; this module feeds it from
threads. May import torch, numpy, Pillow and the contract.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import PIL
import torch

from regraft.contract.catalog import BackboneRecord
from worker.engine.data import Image
from worker.engine.shipped.predict import Bytes, Floats, Settings, prepare, square

_THREADS = 2
_AHEAD = 96  # images decoded before they are needed


def settings_of(record: BackboneRecord) -> Settings:
    """Return how images are prepared for a backbone."""
    return Settings(
        resize=record.resize,
        input_size=record.input_size,
        mean=list(record.mean),
        std=list(record.std),
        interpolation=record.interpolation,
    )


def fingerprint(settings: Settings) -> dict[str, object]:
    """Return all that decides the pixels: the settings, the decoder and its version."""
    return {**settings, "decoder": f"pillow {PIL.__version__}, draft 2x", "version": 1}


class Batch(NamedTuple):
    """Images that could be read, their tensors [n, 3, size, size], and those that could not."""

    images: list[Image]
    pixels: torch.Tensor
    unreadable: dict[str, str]


def batches(images: Sequence[Image], settings: Settings, size: int) -> Iterator[Batch]:
    """Yield `images` in batches of `size`, in order, decoding ahead in a few threads.

    An image that cannot be decoded is named in `unreadable` with the reason.
    """
    chunks = [images[start : start + size] for start in range(0, len(images), size)]
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[tuple[Sequence[Image], list[Future[Floats]]]] = deque()
        try:
            for chunk in chunks:
                waiting.append((chunk, [pool.submit(_one, image, settings) for image in chunk]))
                if len(waiting) * size > _AHEAD:
                    yield _collect(*waiting.popleft())
            while waiting:
                yield _collect(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _one(image: Image, settings: Settings) -> Floats:
    return prepare(image.read(), settings)


def squares(images: Sequence[Image], settings: Settings) -> Iterator[Bytes]:
    """Yield each image as uint8 [3, resize, resize]: the whole middle, for crops to choose from.

    Raises:
        ValueError: an image cannot be decoded.
    """
    whole = Settings(**settings | {"input_size": settings["resize"]})
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(images), _AHEAD):
            yield from pool.map(partial(_square, settings=whole), images[start : start + _AHEAD])


def _square(image: Image, settings: Settings) -> Bytes:
    return square(image.read(), settings).transpose(2, 0, 1)


def _collect(images: Sequence[Image], results: Sequence["Future[Floats]"]) -> Batch:
    kept: list[Image] = []
    arrays: list[Floats] = []
    unreadable: dict[str, str] = {}
    for image, result in zip(images, results, strict=True):
        try:
            arrays.append(result.result())
            kept.append(image)
        except ValueError as error:
            unreadable[image.sha256] = str(error)
    pixels = np.stack(arrays) if arrays else np.zeros((0, 3, 1, 1), dtype=np.float32)
    return Batch(kept, torch.from_numpy(pixels), unreadable)
