"""Which of two models is better, by what both said of the same held-out images.

May import regraft.contract only.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from regraft.contract.held_out import HeldOut, Prediction
from regraft.contract.intervals import difference, paired_difference
from regraft.contract.metrics import Gain, JobMetrics
from regraft.contract.registry import Comparison

MIN_IMAGES = 10  # fewer tell nothing, and would refuse good models at random


class Judged(NamedTuple):
    """A model and what is known of its quality; `held_out` is None where it was not kept."""

    model_id: str
    test_dataset: str | None
    metrics: JobMetrics
    held_out: HeldOut | None


def compare(new: Judged, before: Judged) -> Comparison | None:
    """Return how `new` did against `before`; None where no images allow it.

    Image by image where both models' predictions were kept, on the test images or else on
    those that both held out of training; else by their accuracies on the same test dataset.
    """
    if new.held_out is None or before.held_out is None:
        return _by_metrics(new, before)
    parts: tuple[Literal["test", "validation"], ...] = ("test", "validation")
    for part in parts:
        pairs = _pairs(getattr(new.held_out, part), getattr(before.held_out, part))
        if pairs.total() >= MIN_IMAGES:
            return _paired(before.model_id, part, pairs)
    return None


def _pairs(new: Sequence[Prediction], before: Sequence[Prediction]) -> Counter[tuple[bool, bool]]:
    """Count the images that both judged, by who was right; a relabelled image is left out."""
    known = {(one.sha256, one.label): one.predicted == one.label for one in before}
    return Counter(
        (one.predicted == one.label, known[one.sha256, one.label])
        for one in new
        if (one.sha256, one.label) in known
    )


def _paired(
    before: str, part: Literal["test", "validation"], pairs: Counter[tuple[bool, bool]]
) -> Comparison:
    counts = [pairs[right] for right in ((True, True), (True, False), (False, True))]
    both, new_only, before_only = counts
    total = pairs.total()
    interval = paired_difference(both, new_only, before_only, total - sum(counts))
    return Comparison(
        compared_with=before,
        images=part,
        num_images=total,
        num_right=both + new_only,
        num_right_before=both + before_only,
        gain=_gain(new_only - before_only, total, interval),
    )


def _by_metrics(new: Judged, before: Judged) -> Comparison | None:
    one, other = new.metrics.test, before.metrics.test
    same = new.test_dataset is not None and new.test_dataset == before.test_dataset
    if not same or one is None or other is None or one.num_images != other.num_images:
        return None
    total = one.num_images
    right, right_before = (round(total * found.accuracy) for found in (one, other))
    return Comparison(
        compared_with=before.model_id,
        images="test",
        num_images=total,
        num_right=right,
        num_right_before=right_before,
        gain=_gain(right - right_before, total, difference(right, total, right_before, total)),
    )


def _gain(more: int, total: int, interval: tuple[float, float]) -> Gain:
    low, high = interval
    return Gain(points=100 * more / total, interval=(100 * low, 100 * high))
