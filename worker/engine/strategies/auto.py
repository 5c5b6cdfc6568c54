"""The planner: compares heads, a source and fine-tuning, and keeps what is surely better.

May import torch, the contract and the engine's own modules.
"""

from collections.abc import Sequence

from torch import Tensor

from regraft.contract.metrics import Candidate, Gain, Guard
from regraft.contract.strategies import AutoStrategy
from worker.engine import evaluate
from worker.engine.adapted import Adapted, LeftOut
from worker.engine.context import Context
from worker.engine.strategies.base import Fitted, Task
from worker.engine.strategies.planner import choice, trials
from worker.engine.strategies.planner.experience import trained_unseen
from worker.engine.strategies.planner.heads import Judged, judged_heads
from worker.engine.strategies.planner.shift import proxy_a_distance
from worker.engine.strategies.planner.trials import Halving, Trial

_ALIKE, _APART = 0.5, 1.5  # proxy-A distances, of 2


def auto(task: Task, options: AutoStrategy, context: Context) -> Fitted:
    """Return the simplest model that none of the others tried surely beats."""
    shift = _shift(task, context)
    heads = judged_heads(task, context)
    labels = task.labels[task.folds >= 0]
    frozen = choice.chosen(heads, labels)
    found = _tuned(task, options, context)
    gain = None if found.winner is None else _gain(found.winner, frozen, task)
    words = f"{shift}{_tried(heads, labels)}"
    if found.winner is not None and gain is not None and _is_safe(gain, found.winner):
        fitted = trials.trained(task, found.winner, context)
        listed = _with_tuned(found.winner, found, choice.candidates(heads, frozen, labels), task)
        probe = next(one for one in heads if one.name == "linear_probe")
        count = int(found.winner.judged.sum())
        decision = _guard(_gain(found.winner, probe, task), count, found.winner.way.options.type)
        return Fitted(fitted.model, listed, f"{words} {fitted.explanation}", decision)
    may_train = options.fine_tuning != "off" and any(one.is_trusted for one in heads)
    unseen = trained_unseen(task, context) if may_train else None
    if unseen is not None:
        return _by_experience(unseen, choice.candidates(heads, frozen, labels), words)
    left_out = LeftOut(frozen.logits, labels) if len(labels) else None
    model = Adapted(task.backbone, frozen.head, task.features, is_frozen=True, left_out=left_out)
    listed = [*choice.candidates(heads, frozen, labels), *_dropped(found, gain, task)]
    sentence = f"{words} Taken was {_named(frozen)}. {_why_not(found, gain)}"
    return Fitted(model, listed, sentence, _decision(frozen, heads, labels))


def _shift(task: Task, context: Context) -> str:
    """Say how far the source lies from the target; nothing without one."""
    if task.source is None:
        return ""
    source, target = task.features.of(task.source.images), task.features.of(task.images)
    distance = proxy_a_distance(source, target)
    context.metrics(0, proxy_a_distance=distance)
    how = "much like" if distance < _ALIKE else "apart from" if distance < _APART else "far from"
    return f"The source is {how} the target (proxy-A distance {distance:.1f} of 2). "


def _tuned(task: Task, options: AutoStrategy, context: Context) -> Halving:
    if options.fine_tuning == "off":
        return Halving(None, [], "it was switched off.")
    return trials.halved(task, context)


def _is_safe(gain: Gain, winner: Trial) -> bool:
    return choice.is_safe(gain, uses_source=winner.way.options.uses_source)


def _by_experience(unseen: Fitted, heads: Sequence[Candidate], words: str) -> Fitted:
    """Return a model that nothing was compared with, and say why it is taken all the same."""
    reason = (
        "nothing to compare on, and where so few images were measured it gained over every head "
        "(docs/transfer.md)"
    )
    passed = {"chosen": False, "reason": "nothing to compare on"}
    listed = [
        *(one.model_copy(update=passed) for one in heads),
        *(one.model_copy(update={"reason": reason}) for one in unseen.candidates),
    ]
    decision = Guard(decision="delivered", reason=f"{unseen.candidates[0].strategy}: {reason}.")
    sentence = f"{words} {unseen.explanation} It was chosen by experience: {reason}."
    return Fitted(unseen.model, listed, sentence, decision)


def _gain(winner: Trial, frozen: Judged, task: Task) -> Gain:
    """Compare on the images that the winner is judged by, which neither was fitted to."""
    judged = winner.judged
    rows = frozen.logits[judged[task.folds >= 0]]
    return evaluate.gain(task.labels[judged], winner.logits[judged], rows)


def _with_tuned(
    winner: Trial, found: Halving, heads: Sequence[Candidate], task: Task
) -> list[Candidate]:
    """Return the candidates where fine-tuning is taken."""
    reason = "the best way to fine-tune, and a safe gain over the best head"
    passed = {"chosen": False, "reason": "fine-tuning does better"}
    return [
        *(one.model_copy(update=passed) if one.chosen else one for one in heads),
        trials.candidate(winner, task.labels, is_chosen=True, reason=reason),
        *(_lost(one, task) for one in found.dropped),
    ]


def _dropped(found: Halving, gain: Gain | None, task: Task) -> list[Candidate]:
    """Return the candidates of fine-tuning where a head is taken."""
    best = [] if found.winner is None or gain is None else [(found.winner, gain)]
    reasoned = [
        trials.candidate(
            one,
            task.labels,
            is_chosen=False,
            reason=f"no safe gain over the best head on the images held back: {_points(gain)}",
        )
        for one, gain in best
    ]
    return [*reasoned, *(_lost(one, task) for one in found.dropped)]


def _lost(one: Trial, task: Task) -> Candidate:
    reason = "others did better on the images held back"
    return trials.candidate(one, task.labels, is_chosen=False, reason=reason)


def _points(gain: Gain) -> str:
    low, high = gain.interval
    return f"{gain.points:+.1f} points (95% interval {low:+.1f} to {high:+.1f})"


def _named(one: Judged) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in one.settings.items())
    return f"{one.name} ({settings})" if settings else one.name


def _tried(heads: Sequence[Judged], labels: Tensor) -> str:
    names = ", ".join(dict.fromkeys(one.name for one in heads))
    if not len(labels):
        return f"There was nothing to compare heads on ({names})."
    return f"Heads on the frozen backbone ({names}) were compared on {len(labels)} images left out."


def _why_not(found: Halving, gain: Gain | None) -> str:
    if gain is None:
        return f"Training the backbone was not tried: {found.why}"
    return f"Training the backbone was no safe gain over it: {_points(gain)}."


def _decision(frozen: Judged, heads: Sequence[Judged], labels: Tensor) -> Guard:
    """Return the comparison with the linear probe; `choice.chosen` has made the decision."""
    probe = next(one for one in heads if one.name == "linear_probe")
    if not len(labels):
        reason = f"A frozen head itself, {frozen.name}; there was nothing to compare it on."
        return Guard(decision="delivered", reason=reason)
    gain = evaluate.gain(labels, frozen.logits, probe.logits)
    return _guard(gain, len(labels), frozen.name)


def _guard(gain: Gain, num_images: int, name: str) -> Guard:
    return Guard(
        decision="delivered",
        reason=f"{name} against the linear probe, on {num_images} images left out of training: "
        f"{_points(gain)}.",
        gain=gain,
        num_images=num_images,
        compared_on="left_out",
    )
