"""What the same compute gives without transfer: the same network from random weights.

May import torch and the engine's own modules.
"""

import math
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regraft.contract.catalog import BackboneRecord
from worker.engine import preprocess
from worker.engine.backbone import untrained
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.shipped.predict import Settings

# Fewer pixels buy five times the steps, which from random weights is worth more: on two classes of
# the sample, 11 s give 0.76 at 128 pixels and 0.88 at 96 with one rate.
SIZE = 96
_MARGIN = 12  # pixels that random crops move in
_BATCH = 16
_PEAK_RATE = 4e-3
_WARM_UP = 0.2  # share of the budget
_WEIGHT_DECAY = 0.05
_LABEL_SMOOTHING = 0.1
_MAX_STATISTICS = 512  # images that the final batch-norm statistics rest on


class Examples(NamedTuple):
    """Training images and their class numbers."""

    images: Sequence[Image]
    labels: Sequence[int]
    num_classes: int


class Budget(NamedTuple):
    """How long to train: `seconds`, but `epochs` whole passes over the images at least."""

    seconds: float
    epochs: int = 1


class FromScratch(NamedTuple):
    """A network trained from random weights, and what its training took."""

    module: nn.Module
    settings: Settings
    seconds: float
    epochs: float
    steps: int


def train(
    record: BackboneRecord, examples: Examples, budget: Budget, seed: int, context: Context
) -> FromScratch:
    """Train for as long as `budget` says.

    AdamW under a one-cycle schedule over the time budget, with random crops, flips and label
    smoothing. Batch-norm statistics are recomputed at the end (Wu & Johnson 2021, "precise BN"):
    after few steps running averages still hold their initial values. How many steps fit depends
    on the machine, so unlike the adapted model this one is not reproducible bit for bit.
    """
    module = untrained(record, examples.num_classes, seed)
    module.train()
    optimizer = torch.optim.AdamW(_groups(module), lr=_PEAK_RATE)
    settings = _settings(record, SIZE + _MARGIN)
    chance = random.Random(seed)
    label_of = {image.sha256: label for image, label in zip(*examples[:2], strict=True)}
    owed = budget.epochs * len(examples.images)
    started = time.perf_counter()
    seen = steps = 0
    done = 0.0
    while done < 1 and not context.should_stop():
        order = list(examples.images)
        chance.shuffle(order)
        for batch in preprocess.batches(order, settings, _BATCH):
            context.check()
            _set_rate(optimizer, done)
            targets = torch.tensor([label_of[image.sha256] for image in batch.images])
            if len(targets) > 1:  # one image has no batch statistics
                _step(module, optimizer, _augmented(batch.pixels, chance), targets)
                steps += 1
            seen += len(batch.images) + len(batch.unreadable)
            done = _share_done(seen / owed, time.perf_counter() - started, budget.seconds)
            context.progress("training", 0.72 + 0.16 * done)
            if done >= 1 or context.should_stop():
                break
    spent = time.perf_counter() - started
    # The middle of what the random crops were taken from: things keep their size.
    plain = _settings(record, SIZE + _MARGIN)
    plain["input_size"] = SIZE
    _settle_statistics(module, examples.images[:_MAX_STATISTICS], plain)
    return FromScratch(module, plain, spent, seen / len(examples.images), steps)


def _share_done(share_of_images: float, spent: float, seconds: float) -> float:
    """Return the done share of the budget in 0-1: of the time, or of the epochs still owed."""
    by_time = spent / seconds if seconds > 0 else 1.0
    return min(1.0, by_time, share_of_images) if share_of_images < 1 else min(1.0, by_time)


def _set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set the one-cycle rate: up linearly, then down along a cosine."""
    if share < _WARM_UP:
        factor = 0.1 + 0.9 * share / _WARM_UP
    else:
        factor = 0.5 + 0.5 * math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP))
    for group in optimizer.param_groups:
        group["lr"] = _PEAK_RATE * max(factor, 0.01)


def _groups(module: nn.Module) -> list[dict[str, object]]:
    """Return parameter groups: weight decay for matrices and kernels only."""
    parameters = list(module.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": _WEIGHT_DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _step(
    module: nn.Module, optimizer: torch.optim.Optimizer, pixels: Tensor, targets: Tensor
) -> None:
    logits = module(pixels.contiguous(memory_format=torch.channels_last))
    loss = nn.functional.cross_entropy(logits, targets, label_smoothing=_LABEL_SMOOTHING)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()


def _augmented(pixels: Tensor, chance: random.Random) -> Tensor:
    """Return random SIZE crops [n, 3, SIZE, SIZE] of [n, 3, s, s], half of them mirrored."""
    crops = []
    for image in pixels:
        top, left = chance.randrange(_MARGIN + 1), chance.randrange(_MARGIN + 1)
        crop = image[:, top : top + SIZE, left : left + SIZE]
        crops.append(crop.flip(2) if chance.getrandbits(1) else crop)
    return torch.stack(crops)


def _settings(record: BackboneRecord, size: int) -> Settings:
    return Settings(**preprocess.settings_of(record) | {"resize": size, "input_size": size})


def _settle_statistics(module: nn.Module, images: Sequence[Image], settings: Settings) -> None:
    """Replace running averages of batch-norm by true averages over training images."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    module.train()
    with torch.inference_mode():
        for batch in preprocess.batches(images, settings, 2 * _BATCH):
            if len(batch.images) > 1:
                module(batch.pixels.contiguous(memory_format=torch.channels_last))
    module.eval()


def logits(trained: FromScratch, images: Sequence[Image], context: Context) -> Tensor:
    """Return logits [n, c] of readable images in their order."""
    rows: list[Tensor] = []
    with torch.inference_mode():
        for batch in preprocess.batches(images, trained.settings, 2 * _BATCH):
            context.check()
            rows.append(trained.module(batch.pixels.contiguous(memory_format=torch.channels_last)))
    return torch.cat(rows).clone()
