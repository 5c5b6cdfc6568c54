"""A linear head by regularised least squares on one-hot labels: one solve, no iteration.

With classes of equal size it is Fisher's discriminant under a shrunken covariance (Hastie et
al. 2009, exercise 4.2). May import torch and the engine's own modules.
"""

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from worker.engine.failures import EngineError
from worker.engine.head import Head

DEFAULT_STRENGTH = 0.3


class LeastSquares:
    """One training set, features [n, d] and class numbers [n], solved for any strength."""

    def __init__(self, features: Tensor, labels: Tensor, num_classes: int) -> None:
        exact = features.double()
        if not bool(exact.isfinite().all()):
            raise EngineError(ErrorCode.DIVERGED, "Features to train on are not finite numbers.")
        self._mean = exact.mean(dim=0)
        centred = exact - self._mean
        # Half-way to unit variance: each feature is divided by its deviation plus the mean one.
        spread = centred.square().mean(dim=0).sqrt()
        self._scale = 1 / (spread + spread.mean()).clamp_min(1e-12)
        self._inputs = centred * self._scale
        targets = torch.nn.functional.one_hot(labels, num_classes).double()
        self._shares = targets.mean(dim=0)
        self._targets = targets - self._shares
        self._size = self._inputs.square().sum(dim=1).mean().clamp_min(1e-12)

    def head(self, strength: float) -> Head:
        """Return the minimiser of ||x @ w.T + b - one_hot||^2 + strength * s * ||w||^2.

        s is the mean squared length of an image's features, which gives `strength` one meaning
        for every backbone and set; n images of d features cost min(n, d)^3.
        """
        inputs, targets, ridge = self._inputs, self._targets, strength * self._size
        count, width = inputs.shape
        if count <= width:
            system = inputs @ inputs.T + ridge * torch.eye(count, dtype=inputs.dtype)
            weight = (inputs.T @ torch.linalg.solve(system, targets)).T
        else:
            system = inputs.T @ inputs + ridge * torch.eye(width, dtype=inputs.dtype)
            weight = torch.linalg.solve(system, inputs.T @ targets).T
        weight = weight * self._scale
        return Head(weight.float(), (self._shares - weight @ self._mean).float(), None)
