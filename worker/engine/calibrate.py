"""Make probabilities honest, and find from which one on a label's answers are precise enough.

Everything rests on images that the model was not trained on, and never on the test images.
May import torch, the contract and the engine's own modules.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from regraft.contract.intervals import wilson
from regraft.contract.metrics import (
    Calibration,
    JobMetrics,
    LeakedImage,
    Leaks,
    Metrics,
    Threshold,
)
from worker.engine import evaluate
from worker.engine.adapted import Adapted, LeftOut
from worker.engine.data import Image
from worker.engine.evaluate import MIN_IMAGES, Answers
from worker.engine.head import fit_temperature
from worker.engine.inputs import Inputs
from worker.engine.splits import dealt

MIN_ANSWERED = 10  # answers with a label that its threshold must rest on
_MAX_EXAMPLES = 10
_PARTS = 5  # that held-out images are dealt into where they are calibrated on themselves
_ROUNDING = 1e-9
_STEPS = 10_000  # thresholds are whole multiples of 1 / _STEPS

Part = Literal["validation", "test"]


def calibrated(model: Adapted, given: Inputs, precision: float) -> Adapted:
    """Return `model` with a temperature, and with thresholds that reach `precision` (0.5-1).

    They are fitted on the training images that its strategy left out, or else on the held-out
    images; with fewer than 20 of these neither is. A model that is calibrated already is
    returned as it is.
    """
    if model.calibration is not None:
        return model
    source, rows = _rests_on(model, given)
    temperature = model.head.temperature if source is None else fit_temperature(*rows)
    calibration = Calibration(
        source=source,
        num_images=len(rows.labels),
        temperature=temperature,
        wanted_precision=precision,
        thresholds=thresholds(given.labels, rows, temperature, precision),
    )
    return model._replace(
        head=model.head._replace(temperature=temperature), calibration=calibration
    )


def _rests_on(
    model: Adapted, given: Inputs
) -> tuple[Literal["left_out", "validation"] | None, LeftOut]:
    """Return which images a calibration is fitted on, and what the model says of them."""
    held_out, left_out = given.parts.validation, model.left_out
    can_be_crossed = len(held_out) >= MIN_IMAGES and len(set(dealt(held_out, _PARTS))) > 1
    if left_out is not None and (len(left_out.labels) >= MIN_IMAGES or not can_be_crossed):
        return "left_out", left_out
    if can_be_crossed:
        return "validation", LeftOut(model.logits(held_out), given.truth(held_out))
    return None, LeftOut(torch.zeros(0, len(given.labels)), given.truth([]))


def thresholds(
    labels: Sequence[str],
    rows: LeftOut,
    temperature: float | None,
    precision: float,
    least: float = MIN_ANSWERED,
) -> list[Threshold]:
    """Return for each label the lowest threshold whose answers on `rows` reach `precision`.

    A threshold needs `least` answers. The lowest of many is a little too hopeful, all the more on
    few images: how well it holds is measured on other images, see `quality`.
    """
    confidence, guessed = warmed(rows.logits, temperature).softmax(dim=1).max(dim=1)
    found = []
    for number, label in enumerate(labels):
        taken = guessed == number
        right = rows.labels[taken] == number
        found.append(_threshold(label, confidence[taken], right, precision, least))
    return found


def _threshold(
    label: str, confidence: Tensor, right: Tensor, precision: float, least: float
) -> Threshold:
    """Return the threshold of one label from the `confidence` [n] and rightness [n] of guesses."""
    steps, order = (confidence * _STEPS).floor().sort(descending=True, stable=True)
    hits = right[order].cumsum(0)
    answered = torch.arange(1, len(steps) + 1)
    is_last = torch.ones(len(steps), dtype=torch.bool)  # of those with the same confidence
    is_last[:-1] = steps[1:] < steps[:-1]
    enough = is_last & (answered >= least)
    reached = torch.nonzero(enough & (hits >= precision * answered.double() - _ROUNDING))
    if not len(reached):
        return Threshold(
            label=label,
            threshold=None,
            num_images=len(steps),
            num_answered=0,
            precision=None,
            precision_interval=wilson(0, 0),
            reason="precision_not_reached" if bool(enough.any()) else "too_few_images",
        )
    last = int(reached[-1])
    num_answered, num_right = last + 1, int(hits[last])
    return Threshold(
        label=label,
        threshold=float(steps[last]) / _STEPS,
        num_images=len(steps),
        num_answered=num_answered,
        precision=num_right / num_answered,
        precision_interval=wilson(num_right, num_answered),
        reason=None,
    )


def warmed(logits: Tensor, temperature: float | None) -> Tensor:
    """Return float64 logits [n, c] whose softmax is calibrated."""
    return logits.double() / (temperature or 1.0)


def measured(model: Adapted, given: Inputs) -> JobMetrics:
    """Return all that is measured of a model."""
    parts: tuple[Part, ...] = ("validation", "test")
    found = [_leaks(model, given, part) for part in parts]
    return JobMetrics(
        validation=quality(model, given, "validation"),
        test=quality(model, given, "test"),
        calibration=model.calibration,
        leaks=[one for one in found if one is not None],
    )


def _leaks(model: Adapted, given: Inputs, part: Part) -> Leaks | None:
    """Return what the images of a part are worth without those that nearly equal a learned one."""
    images = _images(given, part)
    leaked = [image for image in images if image.sha256 in given.leaks]
    if not leaked:
        return None
    others = [image for image in images if image.sha256 not in given.leaks]
    right = int((model.logits(others).argmax(dim=1) == given.truth(others)).sum())
    return Leaks(
        part=part,
        num_images=len(leaked),
        examples=[
            LeakedImage(image=image.name, learned=given.leaks[image.sha256].name)
            for image in leaked[:_MAX_EXAMPLES]
        ],
        num_others=len(others),
        accuracy_without=right / len(others) if others else None,
        accuracy_without_interval=wilson(right, len(others)),
    )


def _images(given: Inputs, part: Part) -> list[Image]:
    return given.parts.validation if part == "validation" else given.parts.test


def quality(model: Adapted, given: Inputs, part: Part) -> Metrics | None:
    """Return the metrics of a calibrated model on held-out images; null where there are none."""
    images = _images(given, part)
    rows = LeftOut(model.logits(images), given.truth(images))
    if model.calibration is None:
        return evaluate.metrics(given.labels, rows.labels, rows.logits)
    if part == model.calibration.source:
        parts = torch.tensor(dealt(images, _PARTS))
        logits, answered = _crossed(rows, parts, model.calibration)
    else:
        logits = warmed(rows.logits, model.calibration.temperature)
        answered = is_answered(logits, model.calibration.thresholds)
    answers = Answers(
        logits=None if model.calibration.temperature is None else logits,
        answered=answered,
        thresholds=[one.threshold for one in model.calibration.thresholds],
    )
    return evaluate.metrics(given.labels, rows.labels, rows.logits, answers)


def _crossed(rows: LeftOut, parts: Tensor, calibration: Calibration) -> tuple[Tensor, Tensor]:
    """Return calibrated logits [n, c] and what is answered [n], each part by the others alone."""
    labels = [one.label for one in calibration.thresholds]
    logits = torch.zeros(rows.logits.shape, dtype=torch.float64)
    answered = torch.zeros(len(parts), dtype=torch.bool)
    for number in sorted(set(parts.tolist())):
        here = parts == number
        others = LeftOut(rows.logits[~here], rows.labels[~here])
        temperature = fit_temperature(*others)
        least = MIN_ANSWERED * len(others.labels) / len(parts)
        found = thresholds(labels, others, temperature, calibration.wanted_precision, least)
        logits[here] = warmed(rows.logits[here], temperature)
        answered[here] = is_answered(logits[here], found)
    return logits, answered


def is_answered(logits: Tensor, found: Sequence[Threshold]) -> Tensor:
    """Tell for calibrated logits [n, c] whether the likeliest label reaches its threshold."""
    confidence, guessed = logits.softmax(dim=1).max(dim=1)
    needed = [math.inf if one.threshold is None else one.threshold for one in found]
    return confidence >= torch.tensor(needed, dtype=confidence.dtype)[guessed]
