"""A linear head on frozen features: what it is, how features are made round for its solver.

May import torch and the contract.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from worker.engine.failures import EngineError

_SETTLED = 1e-8  # change of a logarithm
_RANK_TOLERANCE = 1e-6  # features come in fp16: what lies below is rounding


class Head(NamedTuple):
    """`weight` [c, d] and `bias` [c] on features as the backbone gives them; float32.

    `temperature` divides the logits so that probabilities match how often they are right
    (Guo et al. 2017); null where there was nothing to fit it on, which counts as 1.
    """

    weight: Tensor
    bias: Tensor
    temperature: float | None

    def logits(self, features: Tensor) -> Tensor:
        """Return uncalibrated logits [n, c] of features [n, d]."""
        return features @ self.weight.T + self.bias

    def calibrated(self) -> "Head":
        """Return the head that is shipped: the temperature is folded into its weights."""
        warmth = self.temperature or 1.0
        return Head(self.weight / warmth, self.bias / warmth, None)


class Basis(NamedTuple):
    """Principal axes of a training set: `mean` [d], `axes` [d, r], and one `scale` for all.

    Coordinates in it are centred, at most min(n, d) wide, and have a mean squared norm of 1.
    Rotation and centring leave L2-regularised regression as it is (the solution lies in the
    span of the training features); the one scale gives the penalty the same meaning for every
    backbone and set.
    """

    mean: Tensor
    axes: Tensor
    scale: Tensor

    def coordinates(self, features: Tensor) -> Tensor:
        """Return features [n, d] as [n, r], float64."""
        return ((features.double() - self.mean) @ self.axes) / self.scale

    def head(self, weight: Tensor, bias: Tensor, temperature: float | None) -> Head:
        """Return a head on plain features from one on coordinates: [c, r] and [c]."""
        plain = weight.double() @ self.axes.T / self.scale
        shifted = bias.double() - plain @ self.mean
        return Head(plain.float(), shifted.float(), temperature)


def basis_of(features: Tensor) -> Basis:
    """Return the principal basis of training features [n, d], without what is only rounding."""
    exact = features.double()
    if not bool(exact.isfinite().all()):
        raise EngineError(ErrorCode.DIVERGED, "Features to train on are not finite numbers.")
    mean = exact.mean(dim=0)
    centred = exact - mean
    scale = centred.square().sum(dim=1).mean().sqrt()
    if float(scale) == 0:
        return Basis(mean, torch.eye(features.shape[1], dtype=exact.dtype), torch.ones_like(scale))
    # The smaller of the two Gram matrices: a third of the time of a singular value decomposition.
    is_wide = centred.shape[0] <= centred.shape[1]
    values, vectors = torch.linalg.eigh(centred @ centred.T if is_wide else centred.T @ centred)
    strengths, vectors = values.clamp_min(0).sqrt().flip(0), vectors.flip(1)
    kept = strengths > _RANK_TOLERANCE * strengths[0]
    axes = vectors[:, kept]
    if is_wide:
        axes = centred.T @ axes / strengths[kept]
    return Basis(mean, axes, scale)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature that makes out-of-sample logits [n, c] most likely (Guo et al. 2017).

    The loss is convex in 1 / temperature; Newton's method in its logarithm, kept in 0.05-20. Each
    class is meant with (n + 1) / (n + 2), not 1 (Platt 1999): n images without a mistake do not
    make the next one certain.
    """
    logits = logits.double()
    doubt = 1 / (len(labels) + 2)
    target = logits.gather(1, labels[:, None])[:, 0]
    target = (1 - doubt) * target + doubt * (logits.sum(dim=1) - target) / (logits.shape[1] - 1)
    log_beta = 0.0
    for _ in range(50):
        beta = float(torch.tensor(log_beta).exp())
        chances = (logits * beta).softmax(dim=1)
        expected = (chances * logits).sum(dim=1)
        variance = (chances * logits.square()).sum(dim=1) - expected.square()
        slope = float((expected - target).mean()) * beta
        curvature = float(variance.mean()) * beta**2 + abs(slope) + 1e-12
        move = max(-1.0, min(1.0, slope / curvature))
        log_beta = max(-3.0, min(3.0, log_beta - move))
        if abs(move) < _SETTLED:
            break
    return float(torch.tensor(-log_beta).exp())
