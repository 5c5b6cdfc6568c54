"""What a run found, in words that a merchandiser can read.

May import the contract and `splits`; no torch.
"""

from regraft.contract.metrics import JobMetrics, Metrics, Transfer
from worker.engine.splits import Split


def explanation(
    parts: Split, num_classes: int, choice: str, metrics: JobMetrics, transfer: Transfer
) -> str:
    """Return a paragraph: what was learned from, how well it works, and what transfer gained."""
    learned = f"Learned {num_classes} classes from {len(parts.train)} images"
    sentences = [
        f"{learned}, on what the backbone already knew from other photos.",
        choice,
        _quality(metrics.validation, "held-out images", transfer),
    ]
    if metrics.test is not None:
        sentences.append(_quality(metrics.test, "test images", transfer))
    if transfer.gain is not None and transfer.from_scratch is not None:
        sentences.append(_gain(transfer.gain.points, transfer.gain.interval, transfer.from_scratch))
    return " ".join(sentences)


def _quality(metrics: Metrics | None, what: str, transfer: Transfer) -> str:
    if metrics is None:
        return _only_cross_validated(transfer)
    low, high = metrics.accuracy_interval
    right = round(metrics.accuracy * metrics.num_images)
    return (
        f"It names {right} of {metrics.num_images} {what} right: {metrics.accuracy:.1%}; "
        f"on more images like these, expect between {low:.1%} and {high:.1%}."
    )


def _only_cross_validated(transfer: Transfer) -> str:
    scores = [one.score for one in transfer.candidates if one.chosen and one.score is not None]
    if not scores:
        return "No image could be held out, so its accuracy is not known."
    return (
        "No image was held out; when parts of the training images were left out in turn, "
        f"{scores[0]:.1%} of them were named right."
    )


def _gain(points: float, interval: tuple[float, float], other: Metrics) -> str:
    """Say who is better, and only if the interval leaves no doubt."""
    start = f"A network trained from scratch on the same images reaches {other.accuracy:.1%}"
    low, high = interval
    span = f"(95% interval {low:+.1f} to {high:+.1f})"
    if low <= 0 <= high:
        return f"{start}: {points:+.1f} points {span}, too few images to tell the two apart."
    return f"{start}: transfer gains {points:+.1f} points {span}."
