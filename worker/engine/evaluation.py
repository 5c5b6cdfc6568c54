"""Measure a finished model on a dataset: nothing is learned, and the model stays as it is.

May import torch, the contract and the engine's own modules.
"""

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.metrics import Calibration, JobMetrics, Transfer, UnknownLabel
from worker.engine import evaluate
from worker.engine.backbone import of_model
from worker.engine.calibrate import is_answered, warmed
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.evaluate import Answers
from worker.engine.failures import EngineError
from worker.engine.features import Features
from worker.engine.finished import Known, known_base, record
from worker.engine.inputs import extractor, labelled, numbers_of, report_unreadable
from worker.engine.messages import Done
from worker.engine.runspec import RunSpec


def run_evaluation(spec: RunSpec, context: Context) -> Done:
    """Carry out a run whose `task` is to evaluate; its metrics are those of the `test`.

    Raises:
        EngineError: TOO_FEW_IMAGES where no readable image has a label that the model knows.
    """
    base, files = spec.base_model, spec.finished
    if base is None or files is None:
        raise EngineError(
            ErrorCode.VALIDATION_FAILED, "There is no model to measure.", "base.model"
        )
    backbone = of_model(base, spec.weights_dir)
    known, calibration = known_base(base), record(files).calibration
    images = labelled(spec.data, "dataset", context)
    features = extractor(spec, backbone, context).extract(images)
    report_unreadable(features, context)
    images = [image for image in images if image.sha256 in features.rows]
    context.progress("evaluating", 0.90)
    metrics = _measured(known, calibration, images, features)
    for one in metrics.unknown_labels:
        text = f"The model does not know {one.label!r}: {one.num_images} images are not counted."
        context.event(text, "warn", label=one.label, num_answered=one.num_answered)
    if metrics.test is not None:
        context.metrics(0, test_accuracy=metrics.test.accuracy)
    context.progress("evaluating", 1.0)
    return Done(
        backbone=backbone.record.name,
        labels=known.labels,
        metrics=metrics,
        transfer=Transfer(),
        lineage={},
        num_images=len(images),
    )


def _measured(
    known: Known, calibration: Calibration | None, images: list[Image], features: Features
) -> JobMetrics:
    mine = [image for image in images if image.label in known.labels]
    if not mine:
        message = "No readable image of the dataset has a label that the model knows."
        raise EngineError(ErrorCode.TOO_FEW_IMAGES, message, "dataset")
    truth = numbers_of(mine, known.labels)
    logits = _logits(known, features, mine)
    answers = None
    if calibration is not None:
        answers = Answers(
            logits=None if calibration.temperature is None else logits,
            answered=is_answered(logits, calibration.thresholds),
            thresholds=[one.threshold for one in calibration.thresholds],
        )
    return JobMetrics(
        test=evaluate.metrics(known.labels, truth, logits, answers),
        calibration=calibration,
        unknown_labels=_unknown(known, calibration, images, features),
    )


def _logits(known: Known, features: Features, images: list[Image]) -> Tensor:
    """Return calibrated float64 logits [n, c]: the temperature is folded into the head."""
    return warmed(known.head.logits(features.of(images)), None)


def _unknown(
    known: Known, calibration: Calibration | None, images: list[Image], features: Features
) -> list[UnknownLabel]:
    found = []
    for label in sorted({image.label or "" for image in images} - set(known.labels)):
        these = [image for image in images if image.label == label]
        answered = torch.ones(len(these), dtype=torch.bool)
        if calibration is not None:
            answered = is_answered(_logits(known, features, these), calibration.thresholds)
        counts = {"num_images": len(these), "num_answered": int(answered.sum())}
        found.append(UnknownLabel(label=label, **counts))
    return found
