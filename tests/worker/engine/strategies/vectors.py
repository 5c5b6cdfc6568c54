"""Images that are nothing but a feature vector: for strategies that see no pixel."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from regraft.contract.job import Hyperparameters
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import NoCheckpoints
from worker.engine.data import Image
from worker.engine.splits import folds
from worker.engine.strategies.base import Source, Task


class Vectors:
    """A feature source that knows each image's vector."""

    def __init__(self) -> None:
        self._rows: dict[str, Tensor] = {}

    def images(self, rows: Tensor, names: Sequence[str]) -> list[Image]:
        """Return an image for each row [n, d] and its label's name."""
        found = []
        for row, name in zip(rows.float(), names, strict=True):
            sha256 = hashlib.sha256(row.numpy().tobytes() + name.encode()).hexdigest()
            self._rows[sha256] = row
            found.append(Image(sha256, sha256, name, None, None, Path(), 0, 0))
        return found

    def of(self, images: Sequence[Image]) -> Tensor:
        """Return the vectors [n, d]."""
        return torch.stack([self._rows[image.sha256] for image in images])


def task_of(
    backbone: Backbone, vectors: Vectors, target: Sequence[Image], source: Sequence[Image]
) -> Task:
    """Return the task of learning `target`, with `source` beside it where it is not empty."""
    names = sorted({image.label or "" for image in target})
    theirs = sorted({image.label or "" for image in source})
    return Task(
        images=target,
        labels=torch.tensor([names.index(image.label or "") for image in target]),
        folds=torch.tensor(folds(target, 0)),
        num_classes=len(names),
        backbone=backbone,
        features=vectors,
        wanted=Hyperparameters(),
        seed=0,
        workspace=Path(),
        checkpoints=NoCheckpoints(),
        names=names,
        source=Source(
            source, torch.tensor([theirs.index(image.label or "") for image in source]), theirs
        )
        if source
        else None,
    )
