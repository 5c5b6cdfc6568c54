"""How far a source lies from the target: the proxy-A distance of their features.

May import torch and the engine's own modules.
"""

import torch
from torch import Tensor

from worker.engine.least_squares import DEFAULT_STRENGTH, LeastSquares

_MIN_IMAGES, _MAX_IMAGES = 2, 500  # of each domain


def proxy_a_distance(source: Tensor, target: Tensor) -> float:
    """Return 2 * (1 - 2 * error) of a classifier that tells features [m, d] from [n, d].

    0 where it does no better than guessing, 2 where it never errs (Ben-David et al. 2007); 0 too
    where a domain has one image. Each half of the images is judged by a classifier fitted to the
    other; both domains count alike.
    """
    one, other = source[:_MAX_IMAGES], target[:_MAX_IMAGES]
    if min(len(one), len(other)) < _MIN_IMAGES:
        return 0.0
    features = torch.cat([one, other])
    labels = torch.cat([torch.zeros(len(one)), torch.ones(len(other))]).long()
    halves = torch.cat([torch.arange(len(one)), torch.arange(len(other))]) % 2
    errors = []
    for half in (0, 1):
        shown, held = halves != half, halves == half
        head = LeastSquares(features[shown], labels[shown], 2).head(DEFAULT_STRENGTH)
        wrong = (head.logits(features[held]).argmax(dim=1) != labels[held]).double()
        errors += [float(wrong[labels[held] == domain].mean()) for domain in (0, 1)]
    return max(0.0, 2 * (1 - 2 * sum(errors) / len(errors)))
