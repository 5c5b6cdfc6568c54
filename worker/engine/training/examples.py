"""Training inputs by number: images decoded once and augmented at each draw, or activations.

May import torch, torchvision, numpy and the engine's own modules.
"""

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as transforms

from regraft.contract.catalog import BackboneRecord
from worker.engine import preprocess
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.training.network import Network

_v2: Any = transforms
Transform = Callable[[Tensor], Tensor]
_CHUNK = 32
_MAX_BYTES = 1 << 30  # of activations held in memory


class Examples(Protocol):
    """Inputs of n images to the network's piece number `entry`."""

    entry: int

    def draw(self, numbers: Tensor) -> Tensor:
        """Return the inputs of some images; chance comes from the global generator."""


class Pixels:
    """Images decoded once into a file of uint8 squares [n, 3, resize, resize]."""

    entry = 0

    def __init__(
        self, images: Sequence[Image], record: BackboneRecord, folder: Path, context: Context
    ) -> None:
        settings = preprocess.settings_of(record)
        shape = (len(images), 3, record.resize, record.resize)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"squares-{uuid.uuid4().hex}.npy"
        self._squares = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        for number, square in enumerate(preprocess.squares(images, settings)):
            context.check()
            self._squares[number] = square
        path.unlink()  # the mapping holds it until this object is gone
        self._record = record
        self._crop: Transform = _v2.CenterCrop(record.input_size)
        self._normalise = _v2.Normalize(record.mean, record.std)

    def augment(self, kind: str) -> None:
        """From now on draw images changed at random, in a way that keeps what they show."""
        self._crop = augmentation(kind, self._record.input_size, self._record.interpolation)

    def draw(self, numbers: Tensor) -> Tensor:
        """Return normalised pixels [k, 3, size, size]."""
        crops = [self._crop(torch.from_numpy(self._squares[number])) for number in numbers.tolist()]
        pixels: Tensor = self._normalise(torch.stack(crops).float() / 255)
        return pixels.contiguous(memory_format=torch.channels_last)


def augmentation(kind: str, size: int, interpolation: str) -> Transform:
    """Return a map from uint8 [3, s, s] to uint8 [3, size, size].

    `light` crops and mirrors; `standard` also zooms (Szegedy et al. 2015) and changes colours
    a little; `none` takes the centre, as every evaluation does.
    """
    mode = InterpolationMode[interpolation.upper()]
    zoom = _v2.RandomResizedCrop(size, scale=(0.4, 1.0), interpolation=mode, antialias=True)
    colours = _v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2)
    steps = {
        "none": [_v2.CenterCrop(size)],
        "light": [_v2.RandomCrop(size), _v2.RandomHorizontalFlip()],
        "standard": [zoom, _v2.RandomHorizontalFlip(), colours],
    }
    chosen: Transform = _v2.Compose(steps[kind])
    return chosen


class Activations:
    """What the frozen pieces make of images that never change: computed once, held in memory."""

    def __init__(
        self, pixels: Examples, num_images: int, network: Network, context: Context
    ) -> None:
        self.entry = network.cut
        rows = []
        for numbers in torch.split(torch.arange(num_images), _CHUNK):
            context.check()
            rows.append(network.at_cut(pixels.draw(numbers)))
        self._rows = torch.cat(rows)

    def draw(self, numbers: Tensor) -> Tensor:
        """Return the activations [k, ...] of k images."""
        return self._rows[numbers]


def cheapest(pixels: Pixels, num_images: int, network: Network, context: Context) -> Examples:
    """Return `pixels`, or activations at the network's cut where they fit in 1 GiB."""
    if network.cut == 0:
        return pixels
    one = network.at_cut(pixels.draw(torch.arange(1)))
    if one.numel() * one.element_size() * num_images > _MAX_BYTES:
        return pixels
    return Activations(pixels, num_images, network, context)
