"""Which candidate is taken: the simplest of those that cannot be told from the best.

May import torch, the contract and the engine's own modules.
"""

from collections.abc import Sequence

from torch import Tensor

from regraft.contract.intervals import wilson
from regraft.contract.metrics import Candidate, Gain
from worker.engine import evaluate
from worker.engine.strategies.planner.heads import Judged

MARGIN = 1.0  # points that a delivered model may lack to the frozen head, with 97.5% confidence


def is_safe(gain: Gain) -> bool:
    """Tell whether a gain is one, and excludes a loss of more than `MARGIN`."""
    return gain.points > 0 and gain.interval[0] >= -MARGIN


def chosen(heads: Sequence[Judged], labels: Tensor) -> Judged:
    """Return the first of `heads`, simplest first, that no other one surely beats.

    Surely: the paired 95% interval of the difference, on the same `labels` [m] images, lies
    above 0. One that learned from a source must surely beat what it replaces to be taken, and
    so must the linear probe: least squares were better at every number of images measured.
    """
    best = heads[0]
    for one in heads[1:]:
        if len(labels) and evaluate.gain(labels, one.logits, best.logits).interval[0] > 0:
            best = one
    return best


def candidates(heads: Sequence[Judged], taken: Judged, labels: Tensor) -> list[Candidate]:
    """Return what a job's history tells of each head."""
    return [_candidate(one, taken, labels) for one in heads]


def _candidate(one: Judged, taken: Judged, labels: Tensor) -> Candidate:
    right = int((one.logits.argmax(dim=1) == labels).sum())
    return Candidate(
        strategy=one.name,
        hyperparameters=one.settings,
        score=right / len(labels) if len(labels) else None,
        score_interval=wilson(right, len(labels)) if len(labels) else None,
        seconds=round(one.seconds, 4),
        chosen=one is taken,
        reason=_reason(one, taken, labels),
    )


def _reason(one: Judged, taken: Judged, labels: Tensor) -> str:
    if not len(labels):
        return "the default: nothing to compare on" if one is taken else "nothing to compare on"
    if one is taken:
        return "the simplest that none of the others surely beats"
    return compared(evaluate.gain(labels, one.logits, taken.logits))


def compared(gain: Gain) -> str:
    """Return how a candidate did against the chosen one on the same images."""
    low, high = gain.interval
    found = (
        f"{gain.points:+.1f} points against the chosen one (95% interval {low:+.1f} to {high:+.1f})"
    )
    if high < 0:
        return f"{found}: worse"
    return f"{found}: cannot be told from it, and the chosen one is simpler"
