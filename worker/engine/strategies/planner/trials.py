"""Fine-tuning as `auto` tries it: successive halving on images that are held back.

May import torch, the contract and the engine's own modules.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from regraft.contract.intervals import wilson
from regraft.contract.labels import LabelSpaces, label_spaces
from regraft.contract.metrics import Candidate
from regraft.contract.strategies import (
    Alignment,
    Coral,
    Dann,
    FineTuning,
    L2Sp,
    LpFt,
    Mmd,
    PartialFinetune,
)
from worker.engine.checkpoints import NoCheckpoints
from worker.engine.context import Context, Silent
from worker.engine.failures import EngineError
from worker.engine.strategies.alignment import coral, dann, mmd
from worker.engine.strategies.base import Fitted, Source, Strategy, Task
from worker.engine.strategies.fine_tuning import l2_sp, lp_ft, partial_finetune

MIN_HELD = 30  # images: with fewer no gain that one may hope for can be told from chance
HELD_FOLD = 0
_LADDERS = ((3, 6, 12), (2, 4, 8), (1, 2, 4))  # epochs of each rung, the longest first
_PROBED = 16  # images that the cost of a step is measured on


class Way(NamedTuple):
    """A strategy with its options."""

    options: FineTuning
    strategy: Strategy


_WAYS = (Way(PartialFinetune(), partial_finetune), Way(LpFt(), lp_ft), Way(L2Sp(), l2_sp))
_WITH_SOURCE = (Way(Coral(), coral), Way(Mmd(), mmd))
_WITH_SAME_LABELS = (Way(Dann(), dann),)  # known to do harm where labels differ


class Trial(NamedTuple):
    """A way to fine-tune, for so many epochs, and logits [m, c] of the held-back images."""

    way: Way
    epochs: int
    logits: Tensor
    seconds: float

    def right(self, labels: Tensor) -> int:
        """Return how many of the held-back images it names right."""
        return int((self.logits.argmax(dim=1) == labels).sum())


class Halving(NamedTuple):
    """The last one standing and all that were dropped; nobody, with `why`, where none is."""

    winner: Trial | None
    dropped: Sequence[Trial]
    why: str


def halved(task: Task, context: Context) -> Halving:
    """Return the best way to fine-tune, by successive halving (Jamieson & Talwalkar 2016).

    All are trained for a few epochs without one fold; the better half, by that fold's images,
    goes on to twice the epochs. The longest ladder is climbed whose cost, as a few steps
    measure it, fits in half of the task's time together with the last training.
    """
    held = task.where(task.folds == HELD_FOLD)
    if len(held.images) < MIN_HELD:
        why = f"{len(held.images)} images held back could not tell"
        return Halving(None, [], f"{why}; {MIN_HELD} can.")
    quiet = Silent(context)
    ways = _ways(task)
    costs = [_cost(task, way, quiet) for way in ways]
    ladder = _affordable(costs, task.seconds)
    if ladder is None:  # a large source costs what the target's own images may still be worth
        ways = _WAYS
        ladder = _affordable(costs[: len(ways)], task.seconds)
    if ladder is None or context.should_stop():
        return Halving(None, [], "there is not enough time for it.")
    return _climbed(task, held, ways, ladder, context)


def _ways(task: Task) -> Sequence[Way]:
    """Return the ways to try: those that draw domains together need a source."""
    if task.source is None:
        return _WAYS
    if label_spaces(task.source.names, task.names) is LabelSpaces.SAME:
        return (*_WAYS, *_WITH_SOURCE, *_WITH_SAME_LABELS)
    return (*_WAYS, *_WITH_SOURCE)


def _cost(task: Task, way: Way, context: Context) -> float:
    """Return the seconds that one epoch costs, from an epoch of a few images of each kind."""
    few = torch.zeros(len(task.images)).bool()
    few[:: max(1, len(few) // _PROBED)] = True
    part = _for(task.where(few), 1)
    part = part._replace(folds=torch.full_like(part.folds, -1), checkpoints=NoCheckpoints())
    longest = len(task.images)
    if isinstance(way.options, Alignment) and task.source is not None:
        source = task.source
        step = max(1, len(source.images) // int(few.sum()))
        few_of_it = Source(source.images[::step], source.labels[::step], source.names)
        part = part._replace(source=few_of_it, unlabelled=task.unlabelled[: int(few.sum())])
        longest = max(longest, len(source.images), len(task.unlabelled))
    started = time.perf_counter()
    way.strategy(part, way.options, context)
    return (time.perf_counter() - started) / int(few.sum()) * longest


def _affordable(costs: Sequence[float], seconds: float | None) -> tuple[int, ...] | None:
    """Return the longest ladder whose trainings, the last one on all images, fit in the time."""
    for ladder in _LADDERS:
        needed = max(costs) * ladder[-1]
        count = len(costs)
        for epochs in ladder:
            needed += sum(sorted(costs)[-count:]) * epochs
            count = (count + 1) // 2
        if seconds is None or needed <= seconds / 2:
            return ladder
    return None


def _climbed(
    task: Task, held: Task, ways: Sequence[Way], ladder: tuple[int, ...], context: Context
) -> Halving:
    rest, standing, dropped = task.without(HELD_FOLD), ways, list[Trial]()
    tried: list[Trial] = []
    for epochs in ladder:
        if tried and context.should_stop():
            break
        tried = [
            found
            for way in standing
            if (found := _trial(rest, held, way, epochs, context)) is not None
        ]
        if not tried:
            return Halving(None, dropped, "every training diverged.")
        tried.sort(key=lambda one: _rank(one, held.labels))
        kept = 1 if epochs == ladder[-1] else (len(tried) + 1) // 2
        dropped += tried[kept:]
        tried = tried[:kept]
        standing = [one.way for one in tried]
    return Halving(tried[0], [*tried[1:], *dropped], "")


def _rank(one: Trial, labels: Tensor) -> tuple[int, float]:
    loss = float(torch.nn.functional.cross_entropy(one.logits, labels))
    return -one.right(labels), loss


def _trial(rest: Task, held: Task, way: Way, epochs: int, context: Context) -> Trial | None:
    """Train without the held-back images and ask about them; null where training diverged."""
    started = time.perf_counter()
    try:
        fitted = way.strategy(_for(rest, epochs), way.options, Silent(context))
    except EngineError as error:
        context.event(f"Tried {way.options.type} for {epochs} epochs: {error.message}", "warn")
        return None
    logits = fitted.model.logits(held.images)
    trial = Trial(way, epochs, logits, time.perf_counter() - started)
    share = trial.right(held.labels) / len(held.labels)
    context.event(
        f"Tried {way.options.type} for {epochs} epochs: {share:.1%} of the images held back.",
        seconds=round(trial.seconds, 1),
    )
    return trial


def _for(task: Task, epochs: int) -> Task:
    """Return the task with so many epochs, unless the user wished another number."""
    if task.wanted.epochs != "auto":
        return task
    return task._replace(wanted=task.wanted.model_copy(update={"epochs": epochs}))


def trained(task: Task, trial: Trial, context: Context) -> Fitted:
    """Train the winner on all images: the one training of the run with checkpoints."""
    return trial.way.strategy(_for(task, trial.epochs), trial.way.options, context)


def candidate(one: Trial, labels: Tensor, *, is_chosen: bool, reason: str) -> Candidate:
    """Return what a job's history tells of a trial; `labels` [m] are of the held-back images."""
    right = one.right(labels)
    settings: dict[str, Any] = {"epochs": one.epochs}
    return Candidate(
        strategy=one.way.options.type,
        hyperparameters=settings,
        score=right / len(labels),
        score_interval=wilson(right, len(labels)),
        seconds=round(one.seconds, 1),
        chosen=is_chosen,
        reason=reason,
    )
