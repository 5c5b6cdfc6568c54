"""One run from spec to model: data, features, head, evaluation, comparison, export, proof.

May import torch, the contract and the engine's own modules.
"""

import time
from typing import NamedTuple

import torch

from worker.engine.allocator import kept_memory
from worker.engine.backbone import Backbone
from worker.engine.calibrate import calibrated, measured
from worker.engine.checkpoints import CheckpointFiles
from worker.engine.comparison import (
    baseline_of,
    compare_with_scratch,
    delivery_of,
    transfer_of,
)
from worker.engine.context import Context, Recorded
from worker.engine.delivery import deliver
from worker.engine.evaluation import run_evaluation
from worker.engine.export.model import Trained
from worker.engine.extension.run import run_extension
from worker.engine.features import Features
from worker.engine.guard import Contest
from worker.engine.inputs import Inputs, extractor, read_inputs
from worker.engine.lineage import identity, lineage, origin
from worker.engine.live import live_quality
from worker.engine.messages import Done, Produced
from worker.engine.runspec import RunSpec, extends
from worker.engine.selection import selected
from worker.engine.source_training import Start, trained_on_source
from worker.engine.splits import folds
from worker.engine.strategies import STRATEGIES, Task


class Result(NamedTuple):
    """What a run leaves: the files to store, and what to say of them."""

    produced: Produced
    done: Done


def run(spec: RunSpec, context: Context) -> Result:
    """Carry out `spec` and report to `context`.

    Raises:
        EngineError: the run cannot succeed, for a reason the code names.
        RunCancelledError: `context` wished so.
    """
    if spec.num_threads is not None:
        torch.set_num_threads(spec.num_threads)
    recorded = Recorded(context)
    recorded.progress("preparing", 0.0)
    with kept_memory():
        if spec.task == "evaluate":
            return Result(Produced(blobs=[], files=[]), run_evaluation(spec, recorded))
        if extends(spec.spec):
            return Result(*run_extension(spec, recorded))
        return _trained(spec, recorded)


def _trained(spec: RunSpec, recorded: Recorded) -> Result:
    context: Context = recorded
    backbone, ranked = selected(spec, context)
    given = read_inputs(spec, backbone, context)
    context.progress("training", 0.60)
    started = time.perf_counter()
    task, asked = _task(spec, backbone, given, context), spec.spec.strategy
    start = _start(spec, task, given, context)
    fitted = STRATEGIES[asked.type](start.task, asked, start.context)
    seconds = time.perf_counter() - started
    precision = spec.spec.evaluation.precision
    # What adapting needed: features of what is learned from alone, cached or not, and the head.
    share = given.num_learned / len(given.features.rows)
    budget = given.features.seconds * share + seconds
    comparison = compare_with_scratch(spec, backbone, given, budget, context)
    text, model = f"{ranked}{origin(spec, given)}{fitted.explanation}", fitted.model
    fitted = fitted._replace(model=calibrated(model, given, precision), explanation=text)
    baseline = baseline_of(task, asked.type, fitted, context)
    baseline = baseline._replace(model=calibrated(baseline.model, given, precision))
    contest = Contest(start.task, asked, fitted, baseline)
    delivered = delivery_of(spec, task, contest, given, context)
    context.progress("evaluating", 0.88)
    metrics = measured(delivered.model, given)
    for name, found in (("validation", metrics.validation), ("test", metrics.test)):
        if found is not None:
            context.metrics(0, **{f"{name}_accuracy": found.accuracy})
    transfer = transfer_of(given, contest, delivered, metrics, comparison)
    transfer = transfer.model_copy(update={"live_model": live_quality(spec, given, context)})
    context.check()
    trained = Trained(delivered.model, given.labels, metrics, transfer, delivered.strategy)
    message = deliver(spec, trained, given, recorded)
    is_baseline = delivered.model is baseline.model
    adapted = backbone if is_baseline else start.task.backbone
    done = Done(
        backbone=delivered.model.backbone.record.name,
        labels=given.labels,
        metrics=metrics,
        transfer=transfer,
        lineage=lineage(spec, backbone, given, adapted, delivered.strategy),
        num_images=len(given.features.rows),
    )
    context.progress("exporting", 1.0)
    return Result(message, done)


def _start(spec: RunSpec, task: Task, given: Inputs, context: Context) -> Start:
    """Return what the strategy starts from: a backbone trained on the source, if it asks for one.

    Held-out images are no part of the task; their features are needed all the same.
    """
    if spec.spec.strategy.uses_source:
        return Start(task, context)
    images = [*given.parts.train, *given.parts.validation, *given.parts.test]

    def features_of(backbone: Backbone, reporting: Context) -> Features:
        return extractor(spec, backbone, reporting, keeps=False).extract(images)

    return trained_on_source(task, features_of, context)


def _task(spec: RunSpec, backbone: Backbone, given: Inputs, context: Context) -> Task:
    train, job = given.parts.train, spec.spec
    return Task(
        images=train,
        labels=given.truth(train),
        folds=torch.tensor(folds(train, job.seed)),
        num_classes=len(given.labels),
        backbone=backbone,
        features=given.features,
        wanted=job.hyperparameters,
        seed=job.seed,
        workspace=spec.workspace,
        checkpoints=CheckpointFiles(
            spec.workspace / "checkpoints",
            identity(spec, backbone, given),
            spec.resume_from,
            context,
        ),
        names=given.labels,
        source=given.source,
        unlabelled=given.unlabelled,
        seconds=60.0 * job.limits.max_minutes,
    )
