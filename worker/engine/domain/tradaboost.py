"""TrAdaBoost: which source points contradict what the target teaches, told by rounds of boosting.

May import torch.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

_EXACT = 1e-9  # an error below this is none


def boosted(
    start: Tensor,
    labels: Tensor,
    is_source: Tensor,
    learn: Callable[[Tensor], Tensor],
    *,
    num_classes: int,
    num_rounds: int,
) -> Tensor:
    """Return the weights [p, n] that p boostings of shared points leave, for one learner each.

    `start` [p, n] are the first weights, 0 for points that are left out; `labels` and
    `is_source` are [n]. `learn` maps weights [p, n] to guessed class numbers [p, n]. It ends
    early where a round changes nothing: so would all that follow.

    The published answer is a vote of the last half of the rounds' learners. What a single learner
    can take from it is how often a source point was wrong: it keeps the product of its factors.
    Target points keep their first weights, since a mistake that is raised in every round, and
    that no vote then balances, is all that such a learner would see (docs/adr/0021).
    """
    weights = kept = start
    lowered = _lowered(is_source, num_rounds)
    for _ in range(num_rounds):
        before = weights
        wrong = learn(before) != labels
        weights = reweighted(
            before, wrong, is_source, num_classes=num_classes, num_rounds=num_rounds
        )
        kept = torch.where(wrong & is_source, kept * lowered, kept)
        if torch.equal(weights, before):
            break
    return kept


def reweighted(
    weights: Tensor, wrong: Tensor, is_source: Tensor, *, num_classes: int, num_rounds: int
) -> Tensor:
    """Return the weights [p, n] after one round, summing to what they summed to before.

    A source point that is `wrong` [p, n] is multiplied by 1 / (1 + sqrt(2 ln n_s / rounds)), a
    target one by (1 - e) (c - 1) / e with e the target's weighted error: Dai et al. 2007, with
    the factor c - 1 of SAMME (Zhu et al. 2009) for c classes, which is 1 for two. A boosting
    whose target has no error left, or no better than chance, leaves the target's weights.
    """
    target = weights * ~is_source
    error = (target * wrong).sum(dim=1) / target.sum(dim=1)
    better_than_chance = error < 1 - 1 / num_classes
    odds = (1 - error) * (num_classes - 1) / error.clamp_min(_EXACT)
    raised = torch.where((error > _EXACT) & better_than_chance, odds, torch.ones_like(odds))
    lowered = weights.new_tensor(_lowered(is_source, num_rounds))
    factor = torch.where(is_source, lowered, raised[:, None])
    changed = torch.where(wrong, weights * factor, weights)
    return changed * (weights.sum(dim=1) / changed.sum(dim=1))[:, None]


def _lowered(is_source: Tensor, num_rounds: int) -> float:
    """Return what a source point's weight is multiplied by in a round that finds it wrong."""
    num_source = max(1, int(is_source.sum()))
    return 1 / (1 + math.sqrt(2 * math.log(num_source) / num_rounds))
