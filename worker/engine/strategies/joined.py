"""A target and a source side by side: which labels they share, and the source's in target numbers.

May import torch, the contract and the engine's own modules.
"""

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.labels import LabelSpaces, label_spaces
from worker.engine.failures import EngineError
from worker.engine.strategies.base import Source, Task

UNSHARED = -1


def required_source(task: Task, strategy: str) -> Source:
    """Return the source of a task.

    Raises:
        EngineError: VALIDATION_FAILED where there is none, or none of its images can be read.
    """
    if task.source is None or not task.source.images:
        message = f"{strategy} learns from a source: name a dataset with usable labelled images."
        raise EngineError(ErrorCode.VALIDATION_FAILED, message, "source_dataset")
    return task.source


def target_numbers(source: Source, names: list[str]) -> Tensor:
    """Return the class number of each source image [m] among a target's names, or `UNSHARED`."""
    return renumbered(source.labels, source.names, names)


def renumbered(labels: Tensor, names: list[str], others: list[str]) -> Tensor:
    """Return class numbers [n] among `names` as those among `others`, or `UNSHARED`."""
    number = {name: position for position, name in enumerate(others)}
    return torch.tensor([number.get(name, UNSHARED) for name in names])[labels]


def require_shared(source: Source, names: list[str], strategy: str) -> None:
    """Raise LABEL_SPACES_DISJOINT where no label of a source is one of the target's."""
    if label_spaces(source.names, names) is LabelSpaces.DISJOINT:
        ours, theirs = ", ".join(sorted(names)[:5]), ", ".join(sorted(source.names)[:5])
        message = f"{strategy} needs labels in common; the dataset has {ours}, the source {theirs}."
        raise EngineError(ErrorCode.LABEL_SPACES_DISJOINT, message, "source_dataset")


def shared_part(source: Source, names: list[str]) -> Source:
    """Return the source's images of shared classes alone, in the target's numbers and names."""
    numbers = target_numbers(source, names)
    kept = torch.nonzero(numbers != UNSHARED)[:, 0]
    return Source([source.images[row] for row in kept.tolist()], numbers[kept], names)
