"""Which candidate is taken: the simplest of those that cannot be told from the best.

May import torch, the contract and the engine's own modules.
"""

import math
from collections.abc import Sequence

from torch import Tensor

from regraft.contract.intervals import Z95, wilson
from regraft.contract.metrics import Candidate, Gain
from worker.engine import evaluate
from worker.engine.strategies.planner.heads import Judged

MARGIN = 1.0  # points that a delivered model may lack to the frozen head, with 97.5% confidence


def is_safe(gain: Gain, *, uses_source: bool = False) -> bool:
    """Tell whether a gain is one, and excludes a loss of more than `MARGIN`.

    A model that learned from a source as well needs no more than one standard error above 0.
    """
    if uses_source and _is_sure(gain, 1 / Z95):
        return True
    return gain.points > 0 and gain.interval[0] >= -MARGIN


def _is_sure(gain: Gain, share: float = 1.0) -> bool:
    """Tell whether a gain's interval, narrowed to a `share` of it, lies above 0."""
    return gain.points + share * (gain.interval[0] - gain.points) > 0


def pooled(first: Gain, num_first: int, second: Gain, num_second: int) -> Gain:
    """Return the gain on both sets of images together, from the gain on each."""
    shares = num_first / (num_first + num_second), num_second / (num_first + num_second)
    pairs = list(zip(shares, (first, second), strict=True))
    points = sum(share * one.points for share, one in pairs)
    low, high = (
        math.hypot(*(share * (one.interval[side] - one.points) for share, one in pairs))
        for side in (0, 1)
    )
    return Gain(points=points, interval=(points - low, points + high))


def chosen(heads: Sequence[Judged], labels: Tensor) -> Judged:
    """Return the first of `heads`, simplest first, that no other one surely beats.

    Surely: the paired 95% interval of the difference, on the same `labels` [m] images, lies
    above 0. A head that learned from a source as well has more to give where images are few and
    little can be told: one standard error above 0 is enough for it. Where that head is trusted it
    comes first, and the best of the others needs one standard error.
    """
    trusted = next((one for one in heads if one.is_trusted), None)
    if trusted is not None:
        rest = chosen([one for one in heads if one is not trusted], labels)
        return rest if _beats(rest, trusted, labels, 1 / Z95) else trusted
    best = heads[0]
    for one in heads[1:]:
        if _beats(one, best, labels, 1 / Z95 if one.uses_source else 1.0):
            best = one
    return best


def _beats(one: Judged, other: Judged, labels: Tensor, share: float) -> bool:
    if not len(labels):
        return False
    return _is_sure(evaluate.gain(labels, one.logits, other.logits), share)


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
    if one is taken and one.is_trusted:
        return "its source knows the target's labels, and too few images could tell otherwise"
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
