"""Whether a source's labels mean what the target's do: told where no image can be left out.

May import torch and the engine's own modules.
"""

import math

import torch
from torch import Tensor

from worker.engine.least_squares import DEFAULT_STRENGTH, LeastSquares
from worker.engine.strategies.base import Task
from worker.engine.strategies.joined import UNSHARED, renumbered

_LEVEL = 0.1
_NUM_DRAWS = 999
_EQUAL = 1e-9  # scores nearer than this are the same


def speaks_for(task: Task) -> bool:
    """Tell whether a head of the source's images alone knows the target's labels, at 10%.

    None of the target's images was shown to it. False without a source that shares labels.
    """
    source = task.source
    if source is None:
        return False
    numbers = renumbered(task.labels, task.names, source.names)
    shared = numbers != UNSHARED
    if not bool(shared.any()):
        return False
    features = task.features.of(source.images)
    head = LeastSquares(features, source.labels, len(source.names)).head(DEFAULT_STRENGTH)
    scores = head.logits(task.features.of(task.where(shared).images)).double()
    return fits(scores - scores.mean(dim=0), numbers[shared])


def fits(scores: Tensor, numbers: Tensor) -> bool:
    """Tell whether scores [n, c] of n images are higher in their classes [n] than by chance.

    A permutation test (Fisher 1935): what the images score under their classes' names is
    compared with what they would if each class had been given another of the c names. So it does
    not matter that another domain makes all images look like one class. Where there are ten
    ways to give out names or fewer, the true one has to be the best of them, and better than names
    shuffled among the images.
    """
    classes = torch.tensor(sorted(set(numbers.tolist())))
    position = torch.searchsorted(classes, numbers)
    width, count = scores.shape[1], len(classes)
    sums = scores.new_zeros(count, width).index_add_(0, position, scores)
    own = sums[torch.arange(count), classes].sum()
    chance = torch.Generator().manual_seed(0)
    names = torch.rand(_NUM_DRAWS, width, generator=chance).argsort(dim=1)[:, :count]
    renamed = sums[torch.arange(count), names].sum(dim=1)
    if math.perm(width, count) * _LEVEL > 1:
        return _share(renamed, own) <= _LEVEL
    rows = torch.arange(len(numbers))
    orders = (torch.randperm(len(rows), generator=chance) for _ in range(_NUM_DRAWS))
    shuffled = torch.stack([scores[rows, numbers[order]].sum() for order in orders])
    return bool((renamed <= own + _EQUAL).all()) and _share(shuffled, own) <= _LEVEL


def _share(others: Tensor, own: Tensor) -> float:
    """Return the share of scores that are as good as `own`, which counts too."""
    return (1 + int((others >= own - _EQUAL).sum())) / (1 + len(others))
