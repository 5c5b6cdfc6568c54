"""What a strategy is given and what it returns.

May import torch, the contract and the engine's own modules.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from regraft.contract.job import Hyperparameters
from regraft.contract.metrics import Candidate, Guard
from worker.engine.adapted import Adapted, FeatureSource
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import Checkpoints, NoCheckpoints
from worker.engine.context import Context
from worker.engine.data import Image


class Source(NamedTuple):
    """Labelled images of another domain.

    `labels` [m] are class numbers in the source's own numbering: positions in its `names`.
    """

    images: Sequence[Image]
    labels: Tensor
    names: list[str]


class Task(NamedTuple):
    """What there is to learn from, and with what.

    `images` are the training images, `labels` [n] their class numbers, which are positions in
    `names`, and `folds` [n] their folds for cross-validation, -1 for those trained on in every
    fold; `features` are the frozen backbone's, also of `source` and `unlabelled`. None of these
    holds an image of the held-out ones. All chance comes from `seed`. `checkpoints` are the
    run's: only one training of a run may use them, and one that is tried and dropped gets
    `NoCheckpoints`. `seconds` is what the strategy may take, where that is known.
    """

    images: Sequence[Image]
    labels: Tensor
    folds: Tensor
    num_classes: int
    backbone: Backbone
    features: FeatureSource
    wanted: Hyperparameters
    seed: int
    workspace: Path
    checkpoints: Checkpoints
    names: list[str]
    source: Source | None = None
    unlabelled: Sequence[Image] = ()
    seconds: float | None = None

    def where(self, kept: Tensor) -> "Task":
        """Return the task of those images alone for which `kept` [n] is true."""
        numbers = torch.nonzero(kept)[:, 0].tolist()
        images = [self.images[number] for number in numbers]
        return self._replace(images=images, labels=self.labels[kept], folds=self.folds[kept])

    def without(self, fold: int) -> "Task":
        """Return the task without one fold's images, the other folds numbered on from 0."""
        rest = self.where(self.folds != fold)
        folds = torch.where(rest.folds > fold, rest.folds - 1, rest.folds)
        return rest._replace(folds=folds, checkpoints=NoCheckpoints())


class Fitted(NamedTuple):
    """The model, every candidate with its score, and what was tried in one sentence.

    `decision` is of a strategy that has compared the model with the frozen head by itself.
    """

    model: Adapted
    candidates: list[Candidate]
    explanation: str
    decision: Guard | None = None


class Strategy(Protocol):
    """A way of transferring; raises EngineError DIVERGED where numbers stop being finite."""

    def __call__(self, task: Task, options: Any, context: Context) -> Fitted:
        """Learn `task` as `options`, the strategy's class in the contract, says."""
