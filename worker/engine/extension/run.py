"""A run that adds labels to a finished model: images, rows, judgement, files; nothing is trained.

May import torch, the contract and the engine's own modules.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.job import FromModel
from regraft.contract.metrics import Calibration, Metrics, Threshold
from worker.engine import evaluate
from worker.engine.adapted import Adapted, LeftOut
from worker.engine.backbone import Backbone, of_model
from worker.engine.calibrate import is_answered, measured, thresholds, warmed
from worker.engine.context import Recorded
from worker.engine.data import Image
from worker.engine.delivery import deliver
from worker.engine.evaluate import Answers
from worker.engine.export.model import Trained
from worker.engine.extension.images import Gathered, gather
from worker.engine.extension.rows import Extended, common_part, crossed, extended
from worker.engine.extension.verdict import MIN_JUDGED, Judged, judged
from worker.engine.failures import EngineError
from worker.engine.finished import Known, Record, known_base, record
from worker.engine.inputs import Inputs
from worker.engine.lineage import lineage
from worker.engine.live import live_quality
from worker.engine.messages import Done, Produced
from worker.engine.runspec import RunSpec
from worker.engine.splits import Split, dealt

_PARTS = 5
_STRATEGY = "prototype"


class _Work(NamedTuple):
    """What an extension works with; `compared` are the known images that new ones are told from."""

    spec: RunSpec
    backbone: Backbone
    known: Known
    record: Record
    found: Gathered
    compared: list[Image]

    @property
    def truth(self) -> Tensor:
        """The class numbers of the new images, then of those compared."""
        return self.found.truth([*self.found.new, *self.compared])


class _Head(NamedTuple):
    """The extended head, and logits of new and of old images by heads made without them."""

    made: Extended
    new: Tensor
    old: Tensor


def run_extension(spec: RunSpec, context: Recorded) -> tuple[Produced, Done]:
    """Carry out a run whose spec `extends` a model; raises as `runner.run` does."""
    base, files = spec.base_model, spec.finished
    if base is None or files is None:
        raise EngineError(ErrorCode.VALIDATION_FAILED, "There is no model to extend.", "base.model")
    backbone = of_model(base, spec.weights_dir)
    known, said = known_base(base), record(files)
    found = gather(spec, backbone, (known, said), files, context)
    context.progress("training", 0.60)
    work = _Work(spec, backbone, known, said, found, _compared(found))
    head = _head(work)
    context.check()
    context.progress("evaluating", 0.88)
    model, given = _calibrated(work, head), _inputs(found)
    metrics = measured(model, given).model_copy(
        update={"validation": _validation(work, model, head)}
    )
    transfer = judged(_rows(work, head), head.made, metrics, guard=spec.spec.guard, context=context)
    transfer = transfer.model_copy(update={"live_model": live_quality(spec, given, context)})
    context.check()
    trained = Trained(model, given.labels, metrics, transfer, _STRATEGY)
    proven = [*given.parts.validation, *given.parts.train]
    produced = deliver(spec, trained, given, context, proven=proven, learned=found.learned)
    context.progress("exporting", 1.0)
    return produced, _done(work, trained, given)


def _done(work: _Work, trained: Trained, given: Inputs) -> Done:
    facts = lineage(work.spec, work.backbone, given, work.backbone, _STRATEGY)
    added = work.found.labels[len(work.known.labels) :]
    return Done(
        backbone=work.backbone.record.name,
        labels=given.labels,
        metrics=trained.metrics,
        transfer=trained.transfer,
        lineage={**facts, "extends": _parent(work.spec), "added_labels": added},
        num_images=len(given.features.rows),
    )


def _parent(spec: RunSpec) -> str:
    base = spec.spec.base
    return base.model if isinstance(base, FromModel) else ""


def _compared(found: Gathered) -> list[Image]:
    """Return the images of known labels that the new ones are told from.

    Those that were held out of training, unless they are few: then all that there are.
    """
    if len(found.held_out) >= MIN_JUDGED:
        return found.held_out
    return [*found.held_out, *found.learned]


def _head(work: _Work) -> _Head:
    found, head = work.found, work.known.head
    new, old = found.examples(found.new), found.examples(work.compared)
    every = found.examples([*found.held_out, *found.learned])
    common = common_part(every.features, every.labels)
    parts = torch.tensor(dealt(found.new, _PARTS)), torch.tensor(dealt(work.compared, _PARTS))
    return _Head(extended(head, new, old, common), *crossed(head, new, old, common, parts))


def _rows(work: _Work, head: _Head) -> Judged:
    found, known = work.found, work.known
    return Judged(
        parent=_parent(work.spec),
        known=len(known.labels),
        labels=found.labels,
        new=LeftOut(head.new, found.truth(found.new)),
        old=LeftOut(head.old, found.truth(work.compared)),
        before=known.head.logits(found.features.of(work.compared)),
        compared_on="held_out" if work.compared is found.held_out else "training",
    )


def _calibrated(work: _Work, head: _Head) -> Adapted:
    """Return the model; its head has the probabilities of the model before, and new thresholds.

    A known label's threshold is never lowered: what it was measured on is not at hand here.
    """
    before = work.record.calibration
    precision = work.spec.spec.evaluation.precision if before is None else before.wanted_precision
    is_warm = before is not None and before.temperature is not None
    rows = LeftOut(torch.cat([head.new, head.old]), work.truth)
    fitted = thresholds(work.found.labels, rows, None, precision)
    if before is not None:
        kept = {one.label: one for one in before.thresholds}
        fitted = [_higher(kept.get(one.label), one) for one in fitted]
    calibration = Calibration(
        source="left_out",
        num_images=len(rows.labels),
        temperature=1.0 if is_warm else None,
        wanted_precision=precision,
        thresholds=fitted,
    )
    return Adapted(
        work.backbone,
        head.made.head._replace(temperature=calibration.temperature),
        work.found.features,
        is_frozen=True,
        left_out=rows,
        calibration=calibration,
    )


def _higher(before: Threshold | None, now: Threshold) -> Threshold:
    if before is None:
        return now
    if before.threshold is None or now.threshold is None:
        return before
    return now if now.threshold > before.threshold else before


def _validation(work: _Work, model: Adapted, head: _Head) -> Metrics | None:
    """Return the quality on new images, and on known ones that were held out of all training."""
    found = work.found
    hashes = {image.sha256 for image in found.held_out}
    held = torch.tensor([image.sha256 in hashes for image in work.compared], dtype=torch.bool)
    kept = torch.cat([torch.ones(len(found.new), dtype=torch.bool), held])
    logits = warmed(torch.cat([head.new, head.old])[kept], None)
    calibration = model.calibration
    if calibration is None:
        return evaluate.metrics(found.labels, work.truth[kept], logits)
    answers = Answers(
        logits=None if calibration.temperature is None else logits,
        answered=is_answered(logits, calibration.thresholds),
        thresholds=[one.threshold for one in calibration.thresholds],
    )
    return evaluate.metrics(found.labels, work.truth[kept], logits, answers)


def _inputs(found: Gathered) -> Inputs:
    """Return the images in parts: the new ones are learned from, known ones held out."""
    parts = Split(found.new, found.held_out, found.tests)
    return Inputs(parts, found.features, found.labels, None, [], {})
