"""What a step minimises: cross-entropy against soft targets, with label smoothing and mixup.

A module, so that a strategy's own objective may hold parameters: they are trained and kept in
checkpoints with the network's. May import torch and the engine's own modules.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from worker.engine.training.network import Network

# The domain that an input stands for where domains are aligned.
TARGET, SOURCE, NEITHER = 0, 1, 2


class Batch(NamedTuple):
    """`inputs` to the network's piece number `entry`, `targets` [n, c] that sum to 1 each.

    Targets are rows of zeros for inputs whose class is not known; `sides` [n] are the domains
    that inputs stand for. `progress` is the done share of training in 0-1, for terms that are
    ramped up.
    """

    inputs: Tensor
    entry: int
    targets: Tensor
    sides: Tensor
    progress: float

    def part(self, rows: slice) -> "Batch":
        """Return some of its rows."""
        return self._replace(
            inputs=self.inputs[rows], targets=self.targets[rows], sides=self.sides[rows]
        )


class CrossEntropy(nn.Module):
    """Mean cross-entropy (natural logarithm) of the network's logits against the targets."""

    def forward(self, network: Network, batch: Batch) -> Tensor:
        """Return the loss of one batch, or of a part of one."""
        logits = network(batch.inputs, batch.entry)
        return nn.functional.cross_entropy(logits.float(), batch.targets)


def soft_targets(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return [n, c]: 1 - smoothing on the label, and smoothing shared by all classes."""
    hard = nn.functional.one_hot(labels, num_classes).float()
    return hard * (1 - smoothing) + smoothing / num_classes


def mixed(inputs: Tensor, targets: Tensor, sides: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return mixup's convex combinations of random pairs (Zhang et al. 2018); nothing at 0.

    One share for the batch, from Beta(alpha, alpha); drawn from the global generator. A pair is
    of one side, so that what is aligned stays of its domain.
    """
    if alpha == 0:
        return inputs, targets
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(inputs))
    other = torch.empty_like(order)
    other[sides.cpu().argsort(stable=True)] = order[sides.cpu()[order].argsort(stable=True)]
    return (
        share * inputs + (1 - share) * inputs[other],
        share * targets + (1 - share) * targets[other],
    )
