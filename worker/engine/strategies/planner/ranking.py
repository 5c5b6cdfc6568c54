"""How well frozen features suit labels, without training: LogME, to rank backbones.

May import torch.
"""

import torch
from torch import Tensor

_ROUNDS = 100
_SETTLED = 1e-5


def log_me(features: Tensor, labels: Tensor, num_classes: int) -> float:
    """Return the log of the maximum evidence of features [n, d] for class numbers [n].

    LogME (You et al. 2021): for each class a Bayesian linear model of its indicator, whose prior
    precision alpha and noise precision beta maximise the evidence by fixed-point iteration; the
    mean over classes of the evidence per image. Larger is better.
    """
    exact = features.double()
    left, strengths, _ = torch.linalg.svd(exact, full_matrices=False)
    targets = torch.nn.functional.one_hot(labels, num_classes).double()
    return sum(_evidence(exact, left, strengths, one) for one in targets.T) / num_classes


def _evidence(features: Tensor, left: Tensor, strengths: Tensor, target: Tensor) -> float:
    """Return the evidence per image for one target [n], at its maximum over alpha and beta."""
    num_images, width = features.shape
    squares = strengths.square()
    along = left.T @ target
    outside = (target.square().sum() - along.square().sum()).clamp_min(0)
    alpha = beta = torch.ones((), dtype=features.dtype)
    for _ in range(_ROUNDS):
        ratio = alpha / beta
        gamma = (squares / (squares + ratio)).sum()
        length = (squares * along.square() / (squares + ratio).square()).sum()
        error = (along.square() / (1 + squares / ratio).square()).sum() + outside
        alpha = gamma / length.clamp_min(1e-12)
        beta = (num_images - gamma) / error.clamp_min(1e-12)
        if abs(float(alpha / beta - ratio)) <= _SETTLED * float(ratio):
            break
    determinant = (alpha + beta * squares).log().sum()
    determinant = determinant + (width - len(strengths)) * alpha.log()
    evidence = width * alpha.log() + num_images * beta.log() - determinant
    evidence = evidence - beta * error - alpha * length
    evidence = evidence - num_images * torch.log(torch.tensor(2 * torch.pi))
    return float(evidence / (2 * num_images))
