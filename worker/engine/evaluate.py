"""From logits to what the contract says of a model's quality, and gains between two models.

May import torch and the contract.
"""

import torch
from torch import Tensor

from regraft.contract.metrics import ClassMetrics, ConfusionMatrix, Gain, Metrics
from worker.engine.intervals import paired_difference, wilson

_BINS = 15
_TOP = 5


def metrics(
    labels: list[str], truth: Tensor, logits: Tensor, temperature: float | None = None
) -> Metrics | None:
    """Return the metrics of logits [n, c] against class numbers [n]; null without images.

    `ece` needs a temperature that was fitted on other images; else it is null.
    """
    num_images = len(truth)
    if num_images == 0:
        return None
    guessed = logits.argmax(dim=1)
    counts = torch.zeros(len(labels), len(labels), dtype=torch.int64)
    counts.index_put_((truth, guessed), torch.ones_like(truth), accumulate=True)
    right = int((guessed == truth).sum())
    per_class = [_class_metrics(name, number, counts) for number, name in enumerate(labels)]
    scores = [one.f1 for one in per_class if one.f1 is not None]
    plain = calibration_error(logits.softmax(dim=1), truth)
    return Metrics(
        num_images=num_images,
        accuracy=right / num_images,
        accuracy_interval=wilson(right, num_images),
        top5=_top_share(logits, truth) if len(labels) > _TOP else None,
        macro_f1=sum(scores) / len(scores),
        per_class=per_class,
        confusion_matrix=ConfusionMatrix(labels=labels, counts=counts.tolist()),
        ece=calibration_error((logits / temperature).softmax(dim=1), truth)
        if temperature
        else None,
        ece_uncalibrated=plain,
    )


def _class_metrics(label: str, number: int, counts: Tensor) -> ClassMetrics:
    """Return one label's metrics; null where they would divide by zero.

    F1 is null only for a label that neither occurs nor is guessed: macro-F1 leaves it out.
    """
    hits = int(counts[number, number])
    support, guesses = int(counts[number].sum()), int(counts[:, number].sum())
    return ClassMetrics(
        label=label,
        num_images=support,
        precision=hits / guesses if guesses else None,
        recall=hits / support if support else None,
        f1=2 * hits / (support + guesses) if support + guesses else None,
    )


def _top_share(logits: Tensor, truth: Tensor) -> float:
    best = logits.topk(_TOP, dim=1).indices
    return float((best == truth[:, None]).any(dim=1).double().mean())


def calibration_error(probabilities: Tensor, truth: Tensor) -> float:
    """Return the expected calibration error (Naeini et al. 2015), 15 bins of equal width."""
    confidence, guessed = probabilities.double().max(dim=1)
    right = (guessed == truth).double()
    edges = torch.linspace(0, 1, _BINS + 1, dtype=confidence.dtype)
    bins = torch.bucketize(confidence, edges[1:-1])
    gaps = torch.zeros(_BINS, dtype=confidence.dtype).index_add_(0, bins, confidence - right)
    return float(gaps.abs().sum() / len(truth))


def gain(truth: Tensor, adapted: Tensor, other: Tensor) -> Gain:
    """Return what `adapted` logits gain over `other` ones on the same images, in points."""
    first = adapted.argmax(dim=1) == truth
    second = other.argmax(dim=1) == truth
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    low, high = paired_difference(both, only_first, only_second, neither)
    points = 100 * (only_first - only_second) / len(truth)
    return Gain(points=points, interval=(100 * low, 100 * high))
