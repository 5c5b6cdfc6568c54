"""From encoded images to batches of input tensors, by the function that the bundle ships.

There is one definition of preprocessing, `prepare` of `shipped.predict`; this module feeds it from
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
from worker.engine.duplicates import LOOK, look
from worker.engine.shipped.predict import Bytes, Floats, Settings, normalised, square

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
    return {**settings, "decoder": f"pillow {PIL.__version__}, draft 2x", "version": 2}


class Batch(NamedTuple):
    """Images that could be read, their tensors [n, 3, size, size], and those that could not.

    `looks` [n, 768] are what `duplicates` compares.
    """

    images: list[Image]
    pixels: torch.Tensor
    looks: torch.Tensor
    unreadable: dict[str, str]


def batches(images: Sequence[Image], settings: Settings, size: int) -> Iterator[Batch]:
    """Yield `images` in batches of `size`, in order, decoding ahead in a few threads.

    An image that cannot be decoded is named in `unreadable` with the reason.
    """
    chunks = [images[start : start + size] for start in range(0, len(images), size)]
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[_Decoding] = deque()
        try:
            for chunk in chunks:
                waiting.append(_decoding(pool, chunk, settings))
                if len(waiting) * size > _AHEAD:
                    yield _collected(waiting.popleft())
            while waiting:
                yield _collected(waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Decoding(NamedTuple):
    """Images on their way into the rows of `pixels` [n, 3, size, size], and their looks."""

    images: Sequence[Image]
    pixels: Floats
    looks: list[Future[Bytes]]


def _decoding(pool: ThreadPoolExecutor, images: Sequence[Image], settings: Settings) -> _Decoding:
    side = settings["input_size"]
    pixels = np.empty((len(images), 3, side, side), dtype=np.float32)
    pairs = zip(images, pixels, strict=True)
    return _Decoding(
        images, pixels, [pool.submit(_into, image, settings, row) for image, row in pairs]
    )


def _into(image: Image, settings: Settings, row: Floats) -> Bytes:
    """Write an image's tensor into `row` [3, size, size], and return its look."""
    pixels = square(image.read(), settings)
    normalised(pixels, settings, row)
    return look(pixels)


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


def _collected(decoding: _Decoding) -> Batch:
    looks: list[Bytes] = []
    kept: list[int] = []
    unreadable: dict[str, str] = {}
    for number, (image, result) in enumerate(zip(decoding.images, decoding.looks, strict=True)):
        try:
            looks.append(result.result().reshape(LOOK))
            kept.append(number)
        except ValueError as error:
            unreadable[image.sha256] = str(error)
    pixels = decoding.pixels if not unreadable else decoding.pixels[kept]
    seen = np.stack(looks) if looks else np.zeros((0, LOOK), dtype=np.uint8)
    images = [decoding.images[number] for number in kept]
    return Batch(images, torch.from_numpy(pixels), torch.from_numpy(seen), unreadable)
