"""Never deliver less than the frozen head: judge a model against it on images neither saw.

Test images have no part in it. May import torch, the contract and the engine's own modules.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from regraft.contract.metrics import Candidate, Gain, Guard
from regraft.contract.strategies import NEED_SOURCE
from worker.engine import evaluate
from worker.engine.adapted import Adapted
from worker.engine.context import Context, Silent
from worker.engine.data import Image
from worker.engine.strategies import STRATEGIES, Fitted, Task
from worker.engine.strategies.linear_probe import frozen_head
from worker.engine.strategies.planner.choice import is_safe, pooled


class Held(NamedTuple):
    """The held-out images of the target and their class numbers [n]."""

    images: Sequence[Image]
    labels: Tensor


class Contest(NamedTuple):
    """What the strategy of the options `asked` made of `start`, against the frozen head.

    `start` differs from the task where the backbone was trained on a source first.
    """

    start: Task
    asked: Any
    fitted: Fitted
    baseline: Fitted


class Guarded(NamedTuple):
    """What is delivered: the model, the strategy that made it, every candidate, the decision."""

    model: Adapted
    strategy: str
    candidates: list[Candidate]
    decision: Guard


class _Rows(NamedTuple):
    """Logits [n, c] of n images, by models that were not trained on them, and their classes."""

    labels: Tensor
    adapted: Tensor
    frozen: Tensor
    compared_on: str


def unguarded(contest: Contest, reason: str) -> Guarded:
    """Return the model as asked for, with the reason why nothing is compared."""
    return _as_asked(contest, Guard(decision="delivered", reason=reason))


def guarded(task: Task, contest: Contest, held_out: Held, context: Context) -> Guarded:
    """Return the model as asked for, or the frozen head where that is the safer one.

    A head on frozen features is judged out of fold: the strategy and the frozen head are fitted
    again without each fold of the training images. A fine-tuned backbone costs too much for
    that and is judged on the held-out images, or without these on one fold by a second training.
    A strategy that compares with the frozen head by itself is believed, except for a fine-tuned
    backbone where there are held-out images: these had no part in its choice, and count with
    the images that it was chosen by. What nothing was compared for must not do worse on them.
    """
    strategy, decided = contest.asked.type, contest.fitted.decision
    if decided is not None and (_is_only_head(contest) or not held_out.images):
        return _as_asked(contest, decided)
    rows = _rows(task, contest, held_out, Silent(context))
    if rows is None:
        reason = (
            f"There are no images to compare {strategy} with the frozen head on, so the frozen "
            "head is delivered."
        )
        decision = Guard(decision="baseline_delivered", reason=reason)
    elif decided is None:
        decision = _decision(strategy, rows)
    else:
        decision = _confirmed(strategy, decided, rows, contest)
    if decision.decision == "delivered":
        return _as_asked(contest, decision)
    context.event(decision.reason, "warn", decision=decision.decision)
    return _the_baseline(contest, decision)


def _as_asked(contest: Contest, decision: Guard) -> Guarded:
    fitted = contest.fitted
    return Guarded(fitted.model, contest.asked.type, fitted.candidates, decision)


def _the_baseline(contest: Contest, decision: Guard) -> Guarded:
    tried = [
        one.model_copy(update={"chosen": False, "reason": "kept back by the guard"})
        if one.chosen
        else one
        for one in contest.fitted.candidates
    ]
    chosen = [one for one in contest.baseline.candidates if one.chosen]
    return Guarded(contest.baseline.model, "linear_probe", [*tried, *chosen], decision)


def _rows(task: Task, contest: Contest, held_out: Held, context: Context) -> _Rows | None:
    """Return what both say of images neither saw; null where there are none, or time is up."""
    numbers = sorted(set(task.folds.tolist()) - {-1})
    can_refit = bool(numbers) and not context.should_stop()
    models = contest.fitted.model, contest.baseline.model
    if _is_only_head(contest) and can_refit:
        return _left_out(task, contest, numbers, context)
    if held_out.images:
        adapted, frozen = (model.logits(held_out.images) for model in models)
        return _Rows(held_out.labels, adapted, frozen, "validation")
    return _left_out(task, contest, numbers[:1], context) if can_refit else None


def _is_only_head(contest: Contest) -> bool:
    return contest.fitted.model.backbone.module is contest.start.backbone.module


def _left_out(task: Task, contest: Contest, numbers: Sequence[int], context: Context) -> _Rows:
    """Fit both again without each of these folds, and ask them about the images left out."""
    adapted, frozen, labels = [], [], []
    for number in numbers:
        held = task.folds == number
        images = task.where(held).images
        again = STRATEGIES[contest.asked.type](
            contest.start.without(number), contest.asked, context
        )
        adapted.append(again.model.logits(images))
        frozen.append(frozen_head(task.without(number), context).model.logits(images))
        labels.append(task.labels[held])
    return _Rows(torch.cat(labels), torch.cat(adapted), torch.cat(frozen), "left_out")


def _decision(strategy: str, rows: _Rows) -> Guard:
    """Deliver what is a safe gain over the frozen head."""
    gain = evaluate.gain(rows.labels, rows.adapted, rows.frozen)
    return Guard(
        decision="delivered" if is_safe(gain) else "baseline_delivered",
        reason=_reason(strategy, rows, gain),
        gain=gain,
        num_images=len(rows.labels),
        compared_on=rows.compared_on,
    )


def _confirmed(strategy: str, decided: Guard, rows: _Rows, contest: Contest) -> Guard:
    """Judge what a strategy has decided by held-out images as well."""
    gain = evaluate.gain(rows.labels, rows.adapted, rows.frozen)
    count = len(rows.labels)
    if decided.gain is None or decided.num_images is None:
        is_delivered = gain.points >= 0
        found = f"{decided.reason} {_counted(strategy, rows, gain)}"
    else:
        gain = pooled(decided.gain, decided.num_images, gain, count)
        count += decided.num_images
        chosen = next((one.strategy for one in contest.fitted.candidates if one.chosen), strategy)
        is_delivered = is_safe(gain, uses_source=chosen in NEED_SOURCE)
        low, high = gain.interval
        found = (
            f"{decided.reason} With the {len(rows.labels)} held-out images, over {count} in all: "
            f"{gain.points:+.1f} points (95% interval {low:+.1f} to {high:+.1f})."
        )
    return Guard(
        decision="delivered" if is_delivered else "baseline_delivered",
        reason=found if is_delivered else f"{found} So the frozen head is delivered.",
        gain=gain,
        num_images=count,
        compared_on=rows.compared_on,
    )


def _reason(strategy: str, rows: _Rows, gain: Gain) -> str:
    found = _counted(strategy, rows, gain)
    if is_safe(gain) and rows.compared_on == "validation":
        return f"{found} The same images serve as validation, so that figure is flattered a little."
    if is_safe(gain):
        return found
    if gain.interval[1] < 0:
        return f"{found} It is worse, so the frozen head is delivered."
    return f"{found} That is no safe gain, so the frozen head is delivered."


def _counted(strategy: str, rows: _Rows, gain: Gain) -> str:
    where = "held-out images" if rows.compared_on == "validation" else "training images left out"
    adapted, frozen = (
        int((logits.argmax(dim=1) == rows.labels).sum()) for logits in (rows.adapted, rows.frozen)
    )
    low, high = gain.interval
    return (
        f"Of {len(rows.labels)} {where}, {strategy} names {adapted} right and the frozen head "
        f"{frozen}: {gain.points:+.1f} points (95% interval {low:+.1f} to {high:+.1f})."
    )
