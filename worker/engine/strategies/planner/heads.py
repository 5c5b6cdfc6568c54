"""Heads on frozen features as `auto` compares them: each judged on images it was not fitted to.

May import torch, the contract and the engine's own modules.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.job import Hyperparameters
from regraft.contract.strategies import InstanceWeighting, LinearProbe, Prototype
from worker.engine.context import Context, Silent
from worker.engine.head import Head, fit_temperature
from worker.engine.least_squares import DEFAULT_STRENGTH, LeastSquares
from worker.engine.strategies.base import Fitted, Task
from worker.engine.strategies.instance_weighting import instance_weighting
from worker.engine.strategies.linear_probe import linear_probe
from worker.engine.strategies.planner.trust import speaks_for
from worker.engine.strategies.prototype import prototype

STRENGTHS = (0.1, 0.3, 1.0)
_TELLING = 60  # images left out: fewer have a standard error of seven points, at 3 of 10 apart
Settings = dict[str, float | int | str]
Fit = Callable[[Task], Head]


class Judged(NamedTuple):
    """A head fitted to all images, and logits [m, c] of the m images in folds, out of fold.

    `uses_source` tells that it learned from other images than the target's, `is_trusted` that it
    is taken before what is simpler: its source knows the target's labels, and few images can tell.
    """

    name: str
    settings: Settings
    head: Head
    logits: Tensor
    seconds: float
    uses_source: bool = False
    is_trusted: bool = False


def least_squares(strength: float) -> Fit:
    """Return what fits least squares of one strength."""

    def fit(task: Task) -> Head:
        return LeastSquares(task.features.of(task.images), task.labels, task.num_classes).head(
            strength
        )

    return fit


def out_of_fold(task: Task, fit: Fit) -> Tensor:
    """Return logits [m, c] of the m images in folds, each by a head fitted without its fold."""
    logits = torch.zeros(len(task.images), task.num_classes)
    for number in sorted(set(task.folds.tolist()) - {-1}):
        held = task.folds == number
        head = fit(task.without(number))
        logits[held] = head.logits(task.features.of(task.where(held).images))
    return logits[task.folds >= 0]


def judged_heads(task: Task, context: Context) -> list[Judged]:
    """Return every head worth a try, the simplest first; the linear probe is among them."""
    quiet = Silent(context)
    found = [*_least_squares(task, context), _linear_probe(task, quiet), _prototype(task, quiet)]
    shared = task.source is not None and bool(set(task.source.names) & set(task.names))
    if shared and not context.should_stop():
        found.append(_weighted_source(task, quiet))
    return found


def _judged(name: str, settings: Settings, task: Task, fit: Fit) -> Judged:
    started = time.perf_counter()
    logits = out_of_fold(task, fit)
    head = fit(task)
    if len(logits):
        temperature = fit_temperature(logits, task.labels[task.folds >= 0])
        head = head._replace(temperature=temperature)
    return Judged(name, settings, head, logits, time.perf_counter() - started)


def _least_squares(task: Task, context: Context) -> list[Judged]:
    """Return the default strength first: it wins where the others are no better."""
    has_folds = bool((task.folds >= 0).any()) and not context.should_stop()
    others = [one for one in STRENGTHS if one != DEFAULT_STRENGTH] if has_folds else []
    found = []
    for strength in (DEFAULT_STRENGTH, *others):
        context.check()
        fit = least_squares(strength)
        found.append(_judged("least_squares", {"strength": strength}, task, fit))
    return found


def _linear_probe(task: Task, context: Context) -> Judged:
    started = time.perf_counter()
    plain = task._replace(wanted=Hyperparameters())
    fitted = linear_probe(plain, LinearProbe(), context)
    decay = next(one for one in fitted.candidates if one.chosen).hyperparameters["weight_decay"]
    return _of(fitted, task, "linear_probe", {"weight_decay": decay}, started)


def _prototype(task: Task, context: Context) -> Judged:
    started = time.perf_counter()
    return _of(prototype(task, Prototype(), context), task, "prototype", {}, started)


def _weighted_source(task: Task, context: Context) -> Judged:
    """Return a head from target images and source images that are like them."""
    started = time.perf_counter()
    plain, options = task._replace(wanted=Hyperparameters()), InstanceWeighting()
    fitted = instance_weighting(plain, options, context)
    found = _of(fitted, task, "instance_weighting", {"weighting": options.weighting}, started)
    is_trusted = len(found.logits) < _TELLING and speaks_for(task)
    return found._replace(uses_source=True, is_trusted=is_trusted)


def _of(fitted: Fitted, task: Task, name: str, settings: Settings, started: float) -> Judged:
    """Return what a strategy made; all logits are 0 where none was left out."""
    rows = fitted.model.left_out
    count = int((task.folds >= 0).sum())
    logits = torch.zeros(count, task.num_classes) if rows is None else rows.logits
    return Judged(name, settings, fitted.model.head, logits, time.perf_counter() - started)
