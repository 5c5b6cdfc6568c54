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
    order = _order(labels, generator(seed, "order", epoch), class_balanced=class_balanced)
    return list(torch.split(order, size))


def side_by_side(
    labels: Tensor, kinds: Tensor, size: int, *, class_balanced: bool, seed: int, epoch: int
) -> list[Tensor]:
    """Return the batches of one epoch over images of several kinds, by number.

    Each batch has `size` images of every kind, in turn. As many batches as the largest kind
    fills; a kind that is used up begins anew in another order.
    """
    members = [torch.nonzero(kinds == kind)[:, 0] for kind in sorted(set(kinds.tolist()))]
    count = -(-max(len(one) for one in members) // size) * size
    streams = []
    for place, rows in enumerate(members):
        chance = generator(seed, f"order {place}", epoch)
        balanced = class_balanced and bool((labels[rows] >= 0).all())
        rounds = [
            rows[_order(labels[rows], chance, class_balanced=balanced)]
            for _ in range(-(-count // len(rows)))
        ]
        streams.append(torch.cat(rounds)[:count])
    in_turn = torch.stack(streams, dim=1).flatten()
    return list(torch.split(in_turn, size * len(members)))


def _order(labels: Tensor, chance: torch.Generator, *, class_balanced: bool) -> Tensor:
    """Return as many places among `labels` [n] as there are: each once, or balanced by class."""
    if not class_balanced:
        return torch.randperm(len(labels), generator=chance)
    _, places, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    weights = 1 / counts[places].double()
    return torch.multinomial(weights, len(labels), replacement=True, generator=chance)
