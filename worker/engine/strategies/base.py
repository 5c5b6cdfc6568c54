"""What a strategy is given and what it returns.

May import torch and the contract.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

from regraft.contract.job import Hyperparameters
from regraft.contract.metrics import Candidate
from worker.engine.context import Context
from worker.engine.head import Head


class Material(NamedTuple):
    """What is learned from: features [n, d], class numbers [n], and folds [n].

    A fold of -1 marks an image that is trained on in every fold.
    """

    features: Tensor
    labels: Tensor
    folds: Tensor
    num_classes: int


class Fitted(NamedTuple):
    """The head, every candidate with its score, and what was tried in one sentence."""

    head: Head
    candidates: list[Candidate]
    explanation: str


class Strategy(Protocol):
    """A way of transferring; raises EngineError DIVERGED where numbers stop being finite."""

    def __call__(self, material: Material, wanted: Hyperparameters, context: Context) -> Fitted:
        """Learn from `material` as `wanted`, reporting to `context`."""
