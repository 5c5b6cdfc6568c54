"""From logits to what the contract says of a model's quality, and gains between two models.

May import torch and the contract.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from regraft.contract.intervals import paired_difference, wilson
from regraft.contract.metrics import Abstention, ClassMetrics, ConfusionMatrix, Gain, Metrics

MIN_IMAGES = 20  # to state a calibration error of, or to calibrate on
_BINS = 15


class Answers(NamedTuple):
    """What a calibrated model says of n images.

    `logits` [n, c] are divided by the temperature, null where there is none; `answered` [n] is
    false where the model abstains; `thresholds` are those of its labels.
    """

    logits: Tensor | None
    answered: Tensor
    thresholds: Sequence[float | None]


def metrics(
    labels: list[str], truth: Tensor, logits: Tensor, answers: Answers | None = None
) -> Metrics | None:
    """Return the metrics of logits [n, c] against class numbers [n]; null without images.

    Calibrated figures need `answers`, from a calibration on other images; else they are null.
    """
    num_images = len(truth)
    if num_images == 0:
        return None
    guessed = logits.argmax(dim=1)
    counts = _confusion(truth, guessed, len(labels))
    right = int((guessed == truth).sum())
    per_class = [_class_metrics(name, number, counts) for number, name in enumerate(labels)]
    scores = [one.f1 for one in per_class if one.f1 is not None]
    found = Metrics(
        num_images=num_images,
        accuracy=right / num_images,
        accuracy_interval=wilson(right, num_images),
        top3=_top_share(logits, truth, 3),
        top5=_top_share(logits, truth, 5),
        macro_f1=sum(scores) / len(scores),
        per_class=per_class,
        confusion_matrix=ConfusionMatrix(labels=labels, counts=counts.tolist()),
        ece_uncalibrated=_stated_error(logits.softmax(dim=1), truth),
        log_loss_uncalibrated=float(cross_entropy(logits.double(), truth)),
    )
    return found if answers is None else _with_answers(found, truth, guessed, answers)


def _confusion(truth: Tensor, guessed: Tensor, num_classes: int) -> Tensor:
    """Return the counts [c, c] of images by class and guess."""
    counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    return counts.index_put_((truth, guessed), torch.ones_like(truth), accumulate=True)


def _with_answers(found: Metrics, truth: Tensor, guessed: Tensor, answers: Answers) -> Metrics:
    """Return the metrics with what calibration and abstention make of them."""
    kept = answers.answered
    counts = _confusion(truth[kept], guessed[kept], len(found.per_class))
    num_answered, right = int(kept.sum()), int(counts.diagonal().sum())
    abstention = Abstention(
        num_answered=num_answered,
        coverage=num_answered / found.num_images,
        accuracy=right / num_answered if num_answered else None,
        accuracy_interval=wilson(right, num_answered),
    )
    ece = log_loss = None
    if answers.logits is not None:
        ece = _stated_error(answers.logits.softmax(dim=1), truth)
        log_loss = float(cross_entropy(answers.logits, truth))
    per_class = [
        one.model_copy(
            update={
                "threshold": threshold,
                "num_answered": int(counts[:, number].sum()),
                "precision_answered": _share(counts[number, number], counts[:, number].sum()),
            }
        )
        for number, (one, threshold) in enumerate(
            zip(found.per_class, answers.thresholds, strict=True)
        )
    ]
    changes = {"abstention": abstention, "ece": ece, "log_loss": log_loss, "per_class": per_class}
    return found.model_copy(update=changes)


def _share(part: Tensor, whole: Tensor) -> float | None:
    return int(part) / int(whole) if int(whole) else None


def _stated_error(probabilities: Tensor, truth: Tensor) -> float | None:
    """Return the calibration error; null for so few images that it would be mostly noise."""
    return calibration_error(probabilities, truth) if len(truth) >= MIN_IMAGES else None


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


def _top_share(logits: Tensor, truth: Tensor, top: int) -> float | None:
    """Return how often the class is among the `top` likeliest; null where that says nothing."""
    if logits.shape[1] <= top:
        return None
    best = logits.topk(top, dim=1).indices
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
