"""Who is in which batch of an epoch: a function of the seed and the epoch.

May import torch.
"""

import torch
from torch import Tensor

from worker.engine.training.chance import generator


def batches(
    labels: Tensor, size: int, *, class_balanced: bool, seed: int, epoch: int
) -> list[Tensor]:
    """Return the batches of one epoch as image numbers, all together as many as images.

    Each image once, in random order; `class_balanced` draws with replacement instead, every
    class as often as every other.
    """
    chance = generator(seed, "order", epoch)
    if class_balanced:
        counts = torch.bincount(labels).double()
        order = torch.multinomial(
            1 / counts[labels], len(labels), replacement=True, generator=chance
        )
    else:
        order = torch.randperm(len(labels), generator=chance)
    return list(torch.split(order, size))
