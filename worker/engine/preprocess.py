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
        waiting: deque[tuple[Sequence[Image], list[Future[_Prepared]]]] = deque()
        try:
            for chunk in chunks:
                waiting.append((chunk, [pool.submit(_one, image, settings) for image in chunk]))
                if len(waiting) * size > _AHEAD:
                    yield _collect(*waiting.popleft())
            while waiting:
                yield _collect(*waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Prepared(NamedTuple):
    """One image's tensor [3, size, size] and its look."""

    pixels: Floats
    look: Bytes


def _one(image: Image, settings: Settings) -> _Prepared:
    pixels = square(image.read(), settings)
    return _Prepared(normalised(pixels, settings), look(pixels))


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


def _collect(images: Sequence[Image], results: Sequence["Future[_Prepared]"]) -> Batch:
    kept: list[Image] = []
    prepared: list[_Prepared] = []
    unreadable: dict[str, str] = {}
    for image, result in zip(images, results, strict=True):
        try:
            prepared.append(result.result())
            kept.append(image)
        except ValueError as error:
            unreadable[image.sha256] = str(error)
    if not prepared:
        return Batch(
            kept, torch.zeros(0, 3, 1, 1), torch.zeros(0, LOOK, dtype=torch.uint8), unreadable
        )
    pixels = torch.from_numpy(np.stack([one.pixels for one in prepared]))
    looks = torch.from_numpy(np.stack([one.look.reshape(LOOK) for one in prepared]))
    return Batch(kept, pixels, looks, unreadable)
