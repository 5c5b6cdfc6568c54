"""Gradient reversal, and the ramp of its strength (Ganin et al. 2016). May import torch."""

import math
from typing import Any

import torch
from torch import Tensor

_GAMMA = 10.0


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        return -ctx.factor * gradient, None


def reversed_gradient(value: Tensor, factor: float) -> Tensor:
    """Return `value` as it is; its gradient is multiplied by -`factor` on the way back."""
    function: Any = _Reversed
    result: Tensor = function.apply(value, factor)
    return result


def ramp(progress: float) -> float:
    """Return lambda_p = 2 / (1 + exp(-10 p)) - 1 for the done share p of training: from 0 to 1."""
    return 2 / (1 + math.exp(-_GAMMA * progress)) - 1
