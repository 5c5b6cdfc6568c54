"""One cell of the benchmark: a set, so many images a class, a draw of them, and a strategy."""

import hashlib
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.quality.report import REFERENCE
from benchmarks.quality.sets import ImageSet, first
from regraft.contract.job import Hyperparameters
from regraft.contract.strategies import AnyStrategy, AutoStrategy
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import NoCheckpoints
from worker.engine.context import Context
from worker.engine.data import Image, without_labels
from worker.engine.features import DEFAULT_BATCH, Extractor, Features, cache_of
from worker.engine.guard import Contest, Held, guarded
from worker.engine.head import basis_of
from worker.engine.splits import folds
from worker.engine.strategies import STRATEGIES, Source, Task
from worker.engine.strategies.linear_probe import frozen_head

NOBODY = Held([], torch.zeros(0, dtype=torch.int64))
_ENGINE = Path("worker/engine")


class Table(NamedTuple):
    """What is measured together: pictures of `size` pixels, `num_tests` of a class to judge by.

    The backbone's own size where `size` is null. `is_tuned` tells whether strategies are measured
    that train the backbone; `auto` may then try them too.
    """

    size: int | None
    num_tests: int
    is_tuned: bool

    def name(self, images: ImageSet) -> str:
        """Return the name of a set in this table."""
        return images.name if self.size is None else f"{images.name} at {self.size} px"


# Fine-tuning at the backbone's own size takes days for these curves on two cores: where it is
# measured every strategy sees smaller pictures, and fewer of them judge.
TABLES = {"heads": Table(None, 200, is_tuned=False), "all": Table(64, 100, is_tuned=True)}


class Cell(NamedTuple):
    """What is measured; `strategy` is a name in the engine's STRATEGIES, or `REFERENCE`."""

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


def prepared(images: ImageSet, table: Table, backbone: Backbone, folder: Path) -> Prepared:
    """Return a set as a table has it, each image's features computed once and kept in `folder`."""
    record = backbone.record
    if table.size is not None:
        resize = round(table.size * record.resize / record.input_size)
        backbone = backbone._replace(record=record._replace(input_size=table.size, resize=resize))
    images = images._replace(name=table.name(images), tests=first(images.tests, table.num_tests))
    extractor = Extractor(backbone, cache_of(backbone, folder / "cache"), DEFAULT_BATCH, Context())
    every = [*images.pool, *images.tests, *images.source, *images.unlabelled]
    return Prepared(images, extractor.extract(every), backbone, folder / "work")


def engine_hash() -> str:
    """Return a short hash of the engine's sources: which version a cell was measured with."""
    digest = hashlib.sha256()
    for path in sorted(_ENGINE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def drawn(images: ImageSet, num_each: int, draw: int) -> list[Image] | None:
    """Return `num_each` images of every class; null where a class has not as many."""
    chosen: list[Image] = []
    for label in sorted({image.label or "" for image in images.pool}):
        mine = sorted(image for image in images.pool if image.label == label)
        if len(mine) < num_each:
            return None
        chosen += random.Random(f"{draw}:{num_each}:{label}").sample(mine, num_each)
    return chosen


def measure(
    cell: Cell, options: AnyStrategy, given: Prepared, *, is_guarded: bool
) -> dict[str, Any] | None:
    """Return the accuracies of a cell in points, with and without the guard; null for no draw.

    `delivered` is missing where the guard is not asked, which costs a second training.
    """
    shown = drawn(given.images, cell.num_each, cell.draw)
    if shown is None:
        return None
    task = _task(shown, cell, given, options)
    started = time.perf_counter()
    fitted = STRATEGIES[options.type](task, options, Context())
    seconds = time.perf_counter() - started
    points = _accuracy(fitted.model, given, task.names)
    row = {**cell._asdict(), "accuracy": points, "seconds": round(seconds, 2)}
    row |= {"engine": engine_hash(), "num_tests": len(given.images.tests)}
    chosen = [one for one in fitted.candidates if one.chosen]
    row["chosen"] = chosen[0].strategy if chosen else cell.strategy
    if cell.strategy in {"linear_probe", REFERENCE, AutoStrategy().type}:
        row["delivered"] = points
    elif is_guarded:
        contest = Contest(task, options, fitted, frozen_head(task, Context()))
        kept = guarded(task, contest, NOBODY, Context())
        row["delivered"] = _accuracy(kept.model, given, task.names)
        row["guard"] = kept.decision.reason
    return row


def _task(shown: list[Image], cell: Cell, given: Prepared, options: AnyStrategy) -> Task:
    names = sorted({image.label or "" for image in shown})
    source = None
    if options.uses_source and given.images.source:
        others = sorted({image.label or "" for image in given.images.source})
        labels = [others.index(image.label or "") for image in given.images.source]
        source = Source(given.images.source, torch.tensor(labels), others)
    unlabelled = given.images.unlabelled if options.takes_unlabelled else []
    task = Task(
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
        unlabelled=without_labels(unlabelled),
    )
    return task._replace(wanted=_plain(task)) if cell.strategy == REFERENCE else task


def _plain(task: Task) -> Hyperparameters:
    """Return the L2 that is scikit-learn's C = 1 on features as they are."""
    scale = float(basis_of(task.features.of(task.images)).scale)
    return Hyperparameters(weight_decay=1 / (len(task.images) * scale**2))


def _accuracy(model: Any, given: Prepared, names: list[str]) -> float:
    """Return the accuracy on the set's test images, in points."""
    tests = given.images.tests
    truth = torch.tensor([names.index(image.label or "") for image in tests])
    right = model.logits(tests).argmax(dim=1) == truth
    return round(100 * float(right.double().mean()), 3)
