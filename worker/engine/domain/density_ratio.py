"""How much likelier a point is in the target than in the source, from a classifier of domains.

May import torch and the solver.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from worker.engine.solver import Problems, solve

# Per image, on coordinates whose mean squared norm is 1.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_FOLDS = 5
_ITERATIONS = 100


def density_ratio(source: Tensor, target: Tensor) -> Tensor:
    """Return w [n] = p_target(x) / p_source(x) at source points [n, d]; the target's are [m, d].

    w = P(target | x) / P(source | x) by logistic regression, to which both domains count as much
    (Sugiyama et al. 2012, chapter 4). Cross-fitted: the classifier that weighs a point was not
    trained on it, so a point's noise does not set its own weight. The L2 is the one of the lowest
    log-loss on points that were left out.
    """
    points = torch.cat([source, target])
    domains = torch.cat([_numbers(source, 0), _numbers(target, 1)])
    folds = torch.cat([torch.arange(len(source)), torch.arange(len(target))]) % _FOLDS
    balance = 1 / torch.bincount(domains, minlength=2)[domains].to(points.dtype)
    logits = torch.stack(
        [_out_of_fold(points, domains, folds, balance, penalty) for penalty in PENALTIES]
    )
    losses = torch.stack([cross_entropy(one, domains, reduction="none") for one in logits])
    best = logits[(losses @ balance).argmin()]
    return (best[:, 1] - best[:, 0])[: len(source)].exp()


def _numbers(rows: Tensor, number: int) -> Tensor:
    return torch.full((len(rows),), number)


def _out_of_fold(
    points: Tensor, domains: Tensor, folds: Tensor, balance: Tensor, penalty: float
) -> Tensor:
    """Return logits [n + m, 2], each by the classifier that was trained without its fold."""
    numbers = sorted(set(folds.tolist()))
    masks = torch.stack([(folds != number) * balance for number in numbers])
    penalties = torch.full((len(numbers),), penalty, dtype=points.dtype)
    solved = solve(Problems(points, domains, masks, penalties, 2), _ITERATIONS)
    logits = torch.zeros(len(points), 2, dtype=points.dtype)
    for row, number in enumerate(numbers):
        logits[folds == number] = solved.logits[row, folds == number]
    return logits
