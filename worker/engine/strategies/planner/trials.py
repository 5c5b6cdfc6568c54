"""Fine-tuning as `auto` tries it: successive halving on images that are held back.

May import torch, the contract and the engine's own modules.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
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
_SMALL_SECONDS = 120.0  # that trials may take where all folds judge
_PROBED = 16  # images that the cost of a step is measured on


class Way(NamedTuple):
    """A strategy with its options."""

    options: FineTuning
    strategy: Strategy


_WAYS = (Way(PartialFinetune(), partial_finetune), Way(LpFt(), lp_ft), Way(L2Sp(), l2_sp))
_WITH_SOURCE = (Way(Coral(), coral), Way(Mmd(), mmd))
_WITH_SAME_LABELS = (Way(Dann(), dann),)  # known to do harm where labels differ


class Trial(NamedTuple):
    """A way to fine-tune, for so many epochs, and what it says of images it was not trained on.

    `judged` [n] tells which of the task's images these are; `logits` [n, c] are 0 for the others.
    """

    way: Way
    epochs: int
    judged: Tensor
    logits: Tensor
    seconds: float

    def right(self, labels: Tensor) -> int:
        """Return how many of the images it is judged by it names right; `labels` [n] of all."""
        return int((self.logits.argmax(dim=1) == labels)[self.judged].sum())

    def with_fold(self, other: "Trial") -> "Trial":
        """Return the trial judged by the images of another training too."""
        return self._replace(
            judged=self.judged | other.judged,
            logits=self.logits + other.logits,
            seconds=self.seconds + other.seconds,
        )


class Halving(NamedTuple):
    """The last one standing and all that were dropped; nobody, with `why`, where none is."""

    winner: Trial | None
    dropped: Sequence[Trial]
    why: str


def halved(task: Task, context: Context) -> Halving:
    """Return the best way to fine-tune, by successive halving (Jamieson & Talwalkar 2016).

    All are trained for a few epochs without one fold; the better half, by that fold's images,
    goes on to twice the epochs. Where one fold is too small to tell, all are trained without
    each fold in turn, and judged by the images of all. The longest ladder is climbed whose
    cost, as a few steps measure it, fits in half of the task's time together with the last
    training, or in two minutes where all folds judge. What is left of that half has the winner
    judged on the other folds too.
    """
    started = time.perf_counter()
    judges = _judges(task)
    if not judges:
        why = f"{int((task.folds >= 0).sum())} images left out could not tell"
        return Halving(None, [], f"{why}; {MIN_HELD} can.")
    seconds = _allowed(task, len(judges))
    costs = [(way, _cost(task, way, Silent(context))) for way in _ways(task)]
    ladder = _affordable(costs, len(judges), seconds)
    if ladder is None:  # a large source costs what the target's own images may still be worth
        costs = [one for one in costs if one[0] in _WAYS]
        ladder = _affordable(costs, len(judges), seconds)
    if ladder is None or context.should_stop():
        is_capped = seconds is not None and seconds != task.seconds
        small = "telling by so few images would take more than two minutes on this host."
        return Halving(None, [], small if is_capped else "there is not enough time for it.")
    ways = [way for way, _ in costs]
    found = _climbed(task, ways, ladder, judges, context)
    if found.winner is None:
        return found
    ends = None if task.seconds is None else started + task.seconds / 2
    return found._replace(winner=_checked(task, found.winner, ends, context))


def _judges(task: Task) -> Sequence[int]:
    """Return the folds that ways are judged on: one that is large enough, or all; or none."""
    if int((task.folds == HELD_FOLD).sum()) >= MIN_HELD:
        return (HELD_FOLD,)
    return _folds(task) if int((task.folds >= 0).sum()) >= MIN_HELD else ()


def _allowed(task: Task, num_judges: int) -> float | None:
    """Return the seconds of which half may be spent: a small set is not worth an hour."""
    if task.seconds is None or num_judges == 1:
        return task.seconds
    return min(task.seconds, 2 * _SMALL_SECONDS)


def _folds(task: Task) -> Sequence[int]:
    return sorted(set(task.folds.tolist()) - {-1})


def _checked(task: Task, trial: Trial, ends: float | None, context: Context) -> Trial:
    """Judge a trial by the other folds, while there is time for that and its last training."""
    judged = set(task.folds[trial.judged].tolist())
    each = trial.seconds / len(judged)
    for fold in (one for one in _folds(task) if one not in judged):
        is_late = ends is not None and time.perf_counter() + 2 * each > ends
        if is_late or context.should_stop():
            break
        more = _trial(task, (fold,), trial.way, trial.epochs, context)
        if more is None:
            break
        trial = trial.with_fold(more)
    return trial


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
    with suppress(EngineError):  # its trial will tell
        way.strategy(part, way.options, context)
    return (time.perf_counter() - started) / int(few.sum()) * longest


def is_affordable(task: Task, way: Way, epochs: int, context: Context) -> bool:
    """Tell whether one training on all images fits in half of the task's time."""
    if task.seconds is None:
        return True
    return _cost(task, way, Silent(context)) * epochs <= task.seconds / 2


def _affordable(
    costs: Sequence[tuple[Way, float]], num_judges: int, seconds: float | None
) -> tuple[int, ...] | None:
    """Return the longest ladder whose trainings, the last one on all images, fit in the time."""
    found = sorted(cost for _, cost in costs)
    for ladder in _LADDERS:
        needed, count = found[-1] * ladder[-1], len(found)
        for epochs in ladder:
            needed += sum(found[-count:]) * epochs * num_judges
            count = (count + 1) // 2
        if seconds is None or needed <= seconds / 2:
            return ladder
    return None


def _climbed(
    task: Task,
    ways: Sequence[Way],
    ladder: tuple[int, ...],
    judges: Sequence[int],
    context: Context,
) -> Halving:
    standing, dropped = ways, list[Trial]()
    tried: list[Trial] = []
    for epochs in ladder:
        if tried and context.should_stop():
            break
        tried = [
            found
            for way in standing
            if (found := _trial(task, judges, way, epochs, context)) is not None
        ]
        if not tried:
            return Halving(None, dropped, "every training diverged.")
        tried.sort(key=lambda one: _rank(one, task.labels))
        kept = 1 if epochs == ladder[-1] else (len(tried) + 1) // 2
        dropped += tried[kept:]
        tried = tried[:kept]
        standing = [one.way for one in tried]
    return Halving(tried[0], [*tried[1:], *dropped], "")


def _rank(one: Trial, labels: Tensor) -> tuple[int, float]:
    logits, truth = one.logits[one.judged], labels[one.judged]
    return -one.right(labels), float(torch.nn.functional.cross_entropy(logits, truth))


def _trial(
    task: Task, judges: Sequence[int], way: Way, epochs: int, context: Context
) -> Trial | None:
    """Train without each of these folds in turn and ask about its images; null if one diverged."""
    started = time.perf_counter()
    logits = torch.zeros(len(task.images), task.num_classes)
    for fold in judges:
        held = task.folds == fold
        try:
            fitted = way.strategy(_for(task.without(fold), epochs), way.options, Silent(context))
        except EngineError as error:
            context.event(f"Tried {way.options.type} for {epochs} epochs: {error.message}", "warn")
            return None
        logits[held] = fitted.model.logits(task.where(held).images)
    judged = torch.isin(task.folds, torch.tensor(judges))
    trial = Trial(way, epochs, judged, logits, time.perf_counter() - started)
    share = trial.right(task.labels) / int(judged.sum())
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
    """Return what a job's history tells of a trial; `labels` [n] are of all the task's images."""
    right, count = one.right(labels), int(one.judged.sum())
    settings: dict[str, Any] = {"epochs": one.epochs}
    return Candidate(
        strategy=one.way.options.type,
        hyperparameters=settings,
        score=right / count,
        score_interval=wilson(right, count),
        seconds=round(one.seconds, 1),
        chosen=is_chosen,
        reason=reason,
    )
