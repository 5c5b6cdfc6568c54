"""Images that are nothing but a feature vector: for strategies that see no pixel."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from tests.worker.engine import tasks
from tests.worker.engine.tasks import source_of
from worker.engine.backbone import Backbone
from worker.engine.data import Image
from worker.engine.strategies.base import Task


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
    beside = source_of(source) if source else None
    return tasks.task_of(backbone, target, vectors, Path(), source=beside)
