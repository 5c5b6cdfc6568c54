"""Optimiser groups, and pulls: every L2 term of an objective, as a proximal step.

May import torch and the engine's own modules.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worker.engine.training.network import Network

MAX_NORM = 1.0  # of all gradients together


def optimiser(
    network: Network, objective: nn.Module, rate: float, backbone_factor: float
) -> torch.optim.Adam:
    """Return Adam (Kingma & Ba 2015) over backbone, head and the objective's own parameters.

    The backbone's rate is `backbone_factor` times the others' (discriminative learning rates).
    `peak` of a group is its rate at the top of the schedule. There is no weight decay here: see
    `Pull`, which with a target of zero is AdamW's decoupled decay (Loshchilov & Hutter 2019).
    """
    groups = [
        (list(network.backbone.parameters()), rate * backbone_factor),
        (list(network.head.parameters()), rate),
        (list(objective.parameters()), rate),
    ]
    filled = [{"params": group, "lr": peak, "peak": peak} for group, peak in groups if group]
    return torch.optim.Adam(filled)


def set_rate(chosen: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to `factor` times its peak."""
    for group in chosen.param_groups:
        group["lr"] = group["peak"] * factor


class Pull(NamedTuple):
    """`strength` * ||parameter - target||^2, a term of the objective; a null target is zero."""

    parameter: nn.Parameter
    target: Tensor | None
    strength: float


@torch.no_grad()
def apply_pulls(pulls: Sequence[Pull], chosen: torch.optim.Optimizer) -> None:
    """Take the proximal step of each pull on a parameter that is trained.

    The minimiser of strength * ||x - target||^2 + ||x - parameter||^2 / (2 * rate): exact and
    stable for every strength, where a gradient step overshoots beyond 1 / rate. It is the
    identity to the bit at strength 0, and the target in the limit.
    """
    rates = {
        id(parameter): group["lr"] for group in chosen.param_groups for parameter in group["params"]
    }
    for parameter, target, strength in pulls:
        if strength == 0 or not parameter.requires_grad:
            continue
        weight = 2 * strength * rates[id(parameter)]
        if target is not None:
            parameter.add_(target, alpha=weight)
        parameter.div_(1 + weight)


def decay(network: Network, strength: float) -> list[Pull]:
    """Return weight decay towards zero of matrices and kernels; biases and norms are left."""
    return [Pull(one, None, strength) for one in network.parameters() if one.ndim > 1]


def starting_point(network: Network, alpha: float, beta: float) -> list[Pull]:
    """Return L2-SP's pulls (Li et al. 2018): the backbone to where it stands now, the head to 0.

    Batch-norm statistics are buffers, no parameters, and are not pulled.
    """
    shared = [Pull(one, one.detach().clone(), alpha) for _, one in network.shared()]
    return [*shared, *(Pull(one, None, beta) for one in network.head.parameters())]
