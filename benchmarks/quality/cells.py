"""One cell of the benchmark: a set, so many images a class, a draw of them, and a strategy."""

import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.quality.sets import ImageSet
from regraft.contract.job import Hyperparameters
from regraft.contract.strategies import AnyStrategy, AutoStrategy
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import NoCheckpoints
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.features import DEFAULT_BATCH, Extractor, Features, cache_of
from worker.engine.guard import Contest, Held, guarded
from worker.engine.splits import folds
from worker.engine.strategies import STRATEGIES, Source, Task
from worker.engine.strategies.linear_probe import frozen_head

NOBODY = Held([], torch.zeros(0, dtype=torch.int64))


class Cell(NamedTuple):
    """What is measured; `strategy` is a name in the engine's STRATEGIES."""

    set_name: str
    num_each: int
    draw: int
    strategy: str


class Prepared(NamedTuple):
    """A set with the features of all its images, on one backbone."""

    images: ImageSet
    features: Features
    backbone: Backbone
    workspace: Path


def prepared(images: ImageSet, backbone: Backbone, folder: Path) -> Prepared:
    """Return a set with its features, each image's computed once and kept in `folder`."""
    extractor = Extractor(backbone, cache_of(backbone, folder / "cache"), DEFAULT_BATCH, Context())
    features = extractor.extract([*images.pool, *images.tests, *images.source])
    return Prepared(images, features, backbone, folder / "work")


def drawn(images: ImageSet, num_each: int, draw: int) -> list[Image] | None:
    """Return `num_each` images of every class; null where a class has not as many."""
    chosen: list[Image] = []
    for label in sorted({image.label or "" for image in images.pool}):
        mine = sorted(image for image in images.pool if image.label == label)
        if len(mine) < num_each:
            return None
        chosen += random.Random(f"{draw}:{num_each}:{label}").sample(mine, num_each)
    return chosen


def measure(cell: Cell, options: AnyStrategy, given: Prepared) -> dict[str, Any] | None:
    """Return the accuracies of a cell in points, with and without the guard; null for no draw."""
    shown = drawn(given.images, cell.num_each, cell.draw)
    if shown is None:
        return None
    task = _task(shown, cell, given, with_source=options.uses_source)
    started = time.perf_counter()
    fitted = STRATEGIES[cell.strategy](task, options, Context())
    seconds = time.perf_counter() - started
    points = _accuracy(fitted.model, given, task.names)
    row = {**cell._asdict(), "accuracy": points, "seconds": round(seconds, 2)}
    chosen = [one for one in fitted.candidates if one.chosen]
    row["chosen"] = chosen[0].strategy if chosen else cell.strategy
    row["delivered"] = points
    if cell.strategy not in {"linear_probe", AutoStrategy().type}:
        contest = Contest(task, options, fitted, frozen_head(task, Context()))
        kept = guarded(task, contest, NOBODY, Context())
        row["delivered"] = _accuracy(kept.model, given, task.names)
    return row


def _task(shown: list[Image], cell: Cell, given: Prepared, *, with_source: bool) -> Task:
    names = sorted({image.label or "" for image in shown})
    source = None
    if with_source and given.images.source:
        others = sorted({image.label or "" for image in given.images.source})
        labels = [others.index(image.label or "") for image in given.images.source]
        source = Source(given.images.source, torch.tensor(labels), others)
    return Task(
        images=shown,
        labels=torch.tensor([names.index(image.label or "") for image in shown]),
        folds=torch.tensor(folds(shown, cell.draw)),
        num_classes=len(names),
        backbone=given.backbone,
        features=given.features,
        wanted=Hyperparameters(),
        seed=cell.draw,
        workspace=given.workspace,
        checkpoints=NoCheckpoints(),
        names=names,
        source=source,
    )


def _accuracy(model: Any, given: Prepared, names: list[str]) -> float:
    """Return the accuracy on the set's test images, in points."""
    tests = given.images.tests
    truth = torch.tensor([names.index(image.label or "") for image in tests])
    right = model.logits(tests).argmax(dim=1) == truth
    return round(100 * float(right.double().mean()), 3)
