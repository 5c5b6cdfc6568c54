"""The forward pass of the plain loop: torch eager, channels first, as most code runs it.

Prints one JSON line.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.speed import networks
from benchmarks.speed.case import Options, main
from benchmarks.speed.images import parted
from benchmarks.speed.plain import Photos

_BATCH = 32


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a pass over all photos."""
    torch.set_num_threads(options.threads)
    found = networks.backbone(options.backbone, options.weights)
    module = found.module.to(memory_format=torch.contiguous_format)
    train, held_out = parted(options.photos)
    loader = DataLoader(
        Photos([*train, *held_out], options.backbone),
        _BATCH,
        num_workers=2,
        persistent_workers=True,
    )
    next(iter(loader))
    for _ in range(options.repeats):
        with options.timed() as done, torch.inference_mode():
            for pixels, _labels in loader:
                module(pixels)
        yield done


if __name__ == "__main__":
    main(measure)
