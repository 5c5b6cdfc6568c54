"""An objective over two domains: cross-entropy on both, and a term that draws them together.

May import torch and the engine's own modules.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from worker.engine.domain.coral import coral
from worker.engine.domain.mmd import multi_kernel_mmd
from worker.engine.domain.reversal import ramp, reversed_gradient
from worker.engine.training.network import Network
from worker.engine.training.objective import SOURCE, TARGET, Batch

_HIDDEN = 256  # units of the discriminator


class NoTerm(nn.Module):
    """Nothing is drawn together."""

    def forward(self, source: Tensor, _target: Tensor, _progress: float) -> Tensor:
        """Return 0."""
        return source.new_zeros(())


class CoralTerm(nn.Module):
    """`strength` times the distance of covariances."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self._strength = strength

    def forward(self, source: Tensor, target: Tensor, _progress: float) -> Tensor:
        """Return the term of one batch."""
        return self._strength * coral(source, target)


class MmdTerm(nn.Module):
    """`strength` times the squared mean discrepancy under several kernels."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self._strength = strength

    def forward(self, source: Tensor, target: Tensor, _progress: float) -> Tensor:
        """Return the term of one batch."""
        return self._strength * multi_kernel_mmd(source, target)


class DomainTerm(nn.Module):
    """A discriminator's log-loss; features descend it upwards, `strength` times the ramp.

    The discriminator itself learns at full strength from the start (Ganin et al. 2016). Both
    domains count as much, however many rows of each there are.
    """

    def __init__(self, num_features: int, strength: float) -> None:
        super().__init__()
        self._strength = strength
        self.discriminator = nn.Sequential(
            nn.Linear(num_features, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1)
        )

    def forward(self, source: Tensor, target: Tensor, progress: float) -> Tensor:
        """Return the term of one batch; 0 where it holds but one domain."""
        if min(len(source), len(target)) == 0:
            return (source.sum() + target.sum()) * 0
        factor = self._strength * ramp(progress)
        return (self._loss(source, factor, 1.0) + self._loss(target, factor, 0.0)) / 2

    def _loss(self, rows: Tensor, factor: float, truth: float) -> Tensor:
        found = self.discriminator(reversed_gradient(rows, factor))
        loss: Tensor = binary_cross_entropy_with_logits(found, torch.full_like(found, truth))
        return loss


class Aligned(nn.Module):
    """Cross-entropy of the network's head, and of the source's own where it has one, + a term.

    `term` maps features [n, d] of the source and [m, d] of the target, and the done share of
    training, to what is added to the loss. It sees features over `scale`, one number for the
    whole training, so that its strength means the same for every backbone. Targets' columns are
    the head's classes, then those of the source's own head, which lives here.
    """

    def __init__(
        self, term: nn.Module, num_features: int, num_source_classes: int, scale: float
    ) -> None:
        super().__init__()
        self.term = term
        self.source_head: nn.Linear | None = None
        if num_source_classes:
            self.source_head = nn.Linear(num_features, num_source_classes)
            nn.init.zeros_(self.source_head.weight)
            nn.init.zeros_(self.source_head.bias)
        self._scale = scale

    def forward(self, network: Network, batch: Batch) -> Tensor:
        """Return the loss of one batch, or of a part of one."""
        features = network.features(batch.inputs, batch.entry)
        logits = network.head(features)
        count = logits.shape[1]
        loss = known_loss(logits.float(), batch.targets[:, :count])
        if self.source_head is not None:
            loss = loss + known_loss(self.source_head(features).float(), batch.targets[:, count:])
        scaled = features.float() / self._scale
        source, target = scaled[batch.sides == SOURCE], scaled[batch.sides == TARGET]
        term: Tensor = self.term(source, target, batch.progress)
        return loss + term


def known_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross-entropy of the rows whose targets are known; 0 where none is.

    A row counts as much as its targets sum to.
    """
    losses = -(targets * logits.log_softmax(dim=1)).sum()
    return losses / targets.sum().clamp_min(torch.finfo(targets.dtype).eps)
