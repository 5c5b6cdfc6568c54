"""The task of learning some images: what every strategy's tests begin with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from regraft.contract.job import Hyperparameters
from worker.engine.adapted import FeatureSource
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import NoCheckpoints
from worker.engine.data import Image
from worker.engine.inputs import numbers_of
from worker.engine.splits import folds
from worker.engine.strategies import Source, Task


def task_of(
    backbone: Backbone,
    images: Sequence[Image],
    features: FeatureSource,
    workspace: Path,
    **given: Any,
) -> Task:
    """Return the task of learning `images`; `given` are fields of it that are to be otherwise."""
    names = sorted({image.label or "" for image in images})
    task = Task(
        images=images,
        labels=numbers_of(images, names),
        folds=torch.tensor(folds(images, 0)),
        num_classes=len(names),
        backbone=backbone,
        features=features,
        wanted=Hyperparameters(),
        seed=0,
        workspace=workspace,
        checkpoints=NoCheckpoints(),
        names=names,
    )
    return task._replace(**given)


def source_of(images: Sequence[Image]) -> Source:
    """Return images of another domain under class numbers of their own."""
    names = sorted({image.label or "" for image in images})
    return Source(images, numbers_of(images, names), names)
