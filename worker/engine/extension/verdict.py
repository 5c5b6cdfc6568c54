"""What an extension is worth: images that no part of the head has seen decide.

May import torch, the contract and the engine's own modules.
"""

from typing import NamedTuple

from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.intervals import wilson
from regraft.contract.metrics import (
    Candidate,
    Extension,
    Gain,
    Guard,
    JobMetrics,
    Transfer,
)
from worker.engine import evaluate
from worker.engine.adapted import LeftOut
from worker.engine.context import Context
from worker.engine.extension.rows import Extended
from worker.engine.failures import EngineError

MIN_JUDGED = 10  # held-out images of known labels; fewer, and those learned from are compared too
MOST_LOST = 5.0  # points of accuracy that the labels known before may lose
LEAST_RECALLED = 0.5  # of the images of each new label


class Judged(NamedTuple):
    """Logits of new and old images by heads made without them, and those of the model `before`.

    The first `known` of `labels` are the model's own; `compared_on` says what the old images are.
    """

    parent: str
    known: int
    labels: list[str]
    new: LeftOut
    old: LeftOut
    before: Tensor
    compared_on: str


def judged(
    rows: Judged, made: Extended, metrics: JobMetrics, *, guard: str, context: Context
) -> Transfer:
    """Say what the new labels gained and cost.

    Raises:
        EngineError: HARMFUL_EXTENSION where the guard is on, and known labels lose more than
            `MOST_LOST` points or a new one is recognised on less than half of its images.
    """
    facts = _facts(rows)
    gain = evaluate.gain(rows.old.labels, rows.old.logits, _widened(rows))
    told = _told(rows, facts, gain)
    fault = _fault(rows, gain)
    if fault is not None and guard == "on":
        raise EngineError(ErrorCode.HARMFUL_EXTENSION, f"{fault} {told}", "dataset")
    if fault is not None:
        context.event(fault, "warn")
    reason = fault or "The new labels are told from the model's own, and it from them."
    candidate = Candidate(
        strategy="prototype",
        hyperparameters={"scale": made.scale, "offset": made.offset},
        score=facts.new_right / facts.num_new,
        score_interval=wilson(facts.new_right, facts.num_new),
        chosen=True,
        reason="as asked for; there is nothing to choose",
    )
    return Transfer(
        candidates=[candidate],
        guard=Guard(
            decision="delivered",
            reason=reason if guard == "on" else f"The guard is off: delivered. {reason}",
            gain=gain,
            num_images=facts.num_old,
            compared_on=rows.compared_on,
        ),
        extension=facts,
        explanation=f"{told} {_answers(rows, metrics)}",
    )


def _widened(rows: Judged) -> Tensor:
    """Return the logits before, with new labels that never win."""
    logits = rows.old.logits.clone()
    logits[:, : rows.known] = rows.before
    logits[:, rows.known :] = rows.before.min() - 1
    return logits


def _facts(rows: Judged) -> Extension:
    old, new = rows.old, rows.new
    return Extension(
        extends=rows.parent,
        labels=rows.labels[rows.known :],
        num_new=len(new.labels),
        new_right=_right(new.logits, new.labels),
        num_old=len(old.labels),
        old_right_before=_right(rows.before, old.labels),
        old_right_after=_right(old.logits, old.labels),
        compared_on=rows.compared_on,
        before=evaluate.metrics(rows.labels[: rows.known], old.labels, rows.before),
    )


def _right(logits: Tensor, labels: Tensor) -> int:
    return int((logits.argmax(dim=1) == labels).sum())


def _fault(rows: Judged, gain: Gain) -> str | None:
    """Return why the extension does harm; None where it does not."""
    guessed = rows.new.logits.argmax(dim=1)
    missed = []
    for number in range(rows.known, len(rows.labels)):
        mine = rows.new.labels == number
        recalled = float((guessed[mine] == number).double().mean())
        if recalled < LEAST_RECALLED:
            missed.append(f"{rows.labels[number]} ({recalled:.0%})")
    if missed:
        return f"Too few of their images are recognised: {', '.join(missed)}."
    if -gain.points > MOST_LOST:
        return f"The labels known before lose {-gain.points:.1f} points of accuracy."
    return None


def _told(rows: Judged, facts: Extension, gain: Gain) -> str:
    low, high = gain.interval
    which = "held-out" if rows.compared_on == "held_out" else "training and held-out"
    return (
        f"Added {', '.join(facts.labels)} to the {rows.known} labels of {facts.extends}, without "
        f"training. Of {facts.num_new} images of new labels, each judged without it, "
        f"{facts.new_right} are recognised. Of {facts.num_old} {which} images of the labels known "
        f"before, {facts.old_right_after} are named right, {facts.old_right_before} before: "
        f"{gain.points:+.1f} points (95% interval {low:+.1f} to {high:+.1f})."
    )


def _answers(rows: Judged, metrics: JobMetrics) -> str:
    """Say which new labels it abstains from, for want of a threshold."""
    found = metrics.calibration.thresholds if metrics.calibration else []
    names = rows.labels[rows.known :]
    without = [one.label for one in found if one.label in names and one.threshold is None]
    if not without:
        return "The new labels have thresholds of their own."
    listed = ", ".join(without)
    return f"Too few images show from which probability on to answer with {listed}: it abstains."
