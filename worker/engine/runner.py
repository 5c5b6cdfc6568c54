"""One run from spec to model: data, features, head, evaluation, comparison, export, proof.

May import torch, the contract and the engine's own modules.
"""

import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from regraft.contract.metrics import Guard, JobMetrics, Metrics, Transfer
from worker.engine import backbone as backbones
from worker.engine import data as datasets
from worker.engine import evaluate, scratch
from worker.engine.backbone import Backbone
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.explain import explanation
from worker.engine.export import parity
from worker.engine.export.model import Trained, model_files
from worker.engine.export.segments import Blobs, ModelFile, produced
from worker.engine.export.shared import shared_parts
from worker.engine.failures import EngineError
from worker.engine.features import DEFAULT_BATCH, Extractor, Features, cache_of, numeric_profile
from worker.engine.messages import Done, Produced
from worker.engine.runspec import DataSource, RunSpec
from worker.engine.splits import Split, folds, split
from worker.engine.strategies import STRATEGIES, Fitted, Material

MIN_CLASSES = 2


class Result(NamedTuple):
    """What a run leaves: the files to store, and what to say of them."""

    produced: Produced
    done: Done


class _Input(NamedTuple):
    """Labelled images, their features, who is held out, and the labels in order."""

    parts: Split
    features: Features
    labels: list[str]

    def truth(self, images: Sequence[Image]) -> Tensor:
        """Return the class numbers [n] of n images."""
        number = {label: position for position, label in enumerate(self.labels)}
        return torch.tensor([number[image.label or ""] for image in images], dtype=torch.int64)


class _Comparison(NamedTuple):
    """A network from scratch, its logits on the held-out images, and the budget it was given."""

    trained: scratch.FromScratch
    logits: Tensor
    budget: float


def run(spec: RunSpec, context: Context) -> Result:
    """Carry out `spec` and report to `context`.

    Raises:
        EngineError: the run cannot succeed, for a reason the code names.
        RunCancelledError: `context` wished so.
    """
    if spec.num_threads is not None:
        torch.set_num_threads(spec.num_threads)
    context.progress("preparing", 0.0)
    backbone = backbones.prepared(spec.spec.base.backbone, spec.weights_dir)
    given = _read_input(spec, backbone, context)
    context.progress("training", 0.60)
    started = time.perf_counter()
    fitted = _fit(spec, given, context)
    seconds = time.perf_counter() - started
    # What adapting needed: features of the training images alone, cached or not, and the head.
    share = len(given.parts.train) / len(given.features.rows)
    budget = given.features.seconds * share + seconds
    comparison = _compare(spec, backbone, given, budget, context)
    context.progress("evaluating", 0.88)
    metrics = _metrics(given, fitted)
    for name, found in (("validation", metrics.validation), ("test", metrics.test)):
        if found is not None:
            context.metrics(0, **{f"{name}_accuracy": found.accuracy})
    transfer = _transfer(given, fitted, metrics, comparison)
    context.check()
    trained = Trained(backbone, fitted.head, given.labels, metrics, transfer)
    message = _export(spec, trained, given, context)
    done = Done(
        labels=given.labels,
        metrics=metrics,
        transfer=transfer,
        lineage=_lineage(spec, given),
        num_images=len(given.features.rows),
    )
    context.progress("exporting", 1.0)
    return Result(message, done)


def _read_input(spec: RunSpec, backbone: Backbone, context: Context) -> _Input:
    """Read both datasets, compute features, and hold images out.

    A test dataset, where there is one, takes the place of the dataset's own test images.
    """
    images = _labelled(spec.data, "dataset", context)
    tests = _labelled(spec.test_data, "test_dataset", context) if spec.test_data else []
    tests = _unseen(tests, images, context)
    _require_classes({image.label for image in images})
    batch_size = spec.spec.hyperparameters.batch_size
    size = DEFAULT_BATCH if batch_size == "auto" else batch_size
    extractor = Extractor(backbone, cache_of(backbone, spec.cache), size, context)
    features = extractor.extract(images + tests)
    _report_unreadable(features, context)
    validation = spec.spec.validation
    parts = split(_readable(images, features), validation.fraction, validation.seed)
    if spec.test_data:
        parts = parts._replace(test=_readable(tests, features))
    labels = sorted({image.label or "" for image in parts.train})
    _require_classes(set(labels))
    _require_known(labels, parts.validation, "dataset")
    _require_known(labels, parts.test, "test_dataset" if spec.test_data else "dataset")
    return _Input(parts, features, labels)


def _labelled(source: DataSource, param: str, context: Context) -> list[Image]:
    try:
        images, left_out = datasets.distinct(datasets.load(source))
    except ValueError as error:
        raise EngineError(ErrorCode.VALIDATION_FAILED, f"{param}: {error}", param) from error
    if left_out:
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        context.event(f"Left out of the {param}: {listed}.", "warn", **left_out)
    return images


def _unseen(tests: Sequence[Image], images: Sequence[Image], context: Context) -> list[Image]:
    """Return the test images that are not in the dataset too: what was seen proves nothing."""
    known = {image.sha256 for image in images}
    unseen = [image for image in tests if image.sha256 not in known]
    if len(unseen) < len(tests):
        count = len(tests) - len(unseen)
        context.event(f"Left out of the test: {count} images that are in the dataset too.", "warn")
    return unseen


def _readable(images: Sequence[Image], features: Features) -> list[Image]:
    return [image for image in images if image.sha256 in features.rows]


def _report_unreadable(features: Features, context: Context) -> None:
    for sha256, reason in sorted(features.unreadable.items()):
        context.event(f"Left out an image: it {reason}.", "warn", sha256=sha256)


def _require_classes(labels: set[str] | set[str | None]) -> None:
    if len(labels) < MIN_CLASSES:
        raise EngineError(
            ErrorCode.TOO_FEW_IMAGES,
            f"Training needs usable labelled images of at least {MIN_CLASSES} classes; "
            f"the dataset has {len(labels)}.",
            "dataset",
        )


def _require_known(labels: Sequence[str], images: Sequence[Image], param: str) -> None:
    """Raise VALIDATION_FAILED where images carry a label that no training image has."""
    unknown = sorted({image.label or "" for image in images} - set(labels))
    if unknown:
        listed = ", ".join(unknown[:10])
        raise EngineError(
            ErrorCode.VALIDATION_FAILED,
            f"Held-out images of {param} have labels that no training image has: {listed}.",
            param,
        )


def _fit(spec: RunSpec, given: _Input, context: Context) -> Fitted:
    train = given.parts.train
    material = Material(
        features=given.features.of(train),
        labels=given.truth(train),
        folds=torch.tensor(folds(train, spec.spec.seed)),
        num_classes=len(given.labels),
    )
    strategy = STRATEGIES[spec.spec.strategy.type]
    return strategy(material, spec.spec.hyperparameters, context)


def _compare(
    spec: RunSpec, backbone: Backbone, given: _Input, seconds: float, context: Context
) -> _Comparison | None:
    """Train from scratch for as many seconds, if asked to and if there are held-out images."""
    if "from_scratch" not in spec.spec.comparisons:
        return None
    held_out = given.parts.validation
    if not held_out or context.should_stop():
        context.event("No comparison with training from scratch: stopped, or nothing held out.")
        return None
    train = given.parts.train
    examples = scratch.Examples(train, given.truth(train).tolist(), len(given.labels))
    trained = scratch.train(
        backbone.record, examples, scratch.Budget(seconds), spec.spec.seed, context
    )
    logits = scratch.logits(trained, held_out, context)
    if not bool(logits.isfinite().all()):
        context.event("Training from scratch diverged: there is nothing to compare with.", "warn")
        return None
    return _Comparison(trained, logits, seconds)


def _metrics(given: _Input, fitted: Fitted) -> JobMetrics:
    def of(images: Sequence[Image]) -> Metrics | None:
        logits = fitted.head.logits(given.features.of(images))
        truth = given.truth(images)
        return evaluate.metrics(given.labels, truth, logits, fitted.head.temperature)

    return JobMetrics(validation=of(given.parts.validation), test=of(given.parts.test))


def _transfer(
    given: _Input, fitted: Fitted, metrics: JobMetrics, comparison: _Comparison | None
) -> Transfer:
    """Say what adapting gained; the linear probe is its own baseline."""
    from_scratch = gain = None
    held_out = given.parts.validation
    if comparison is not None:
        truth = given.truth(held_out)
        adapted = fitted.head.logits(given.features.of(held_out))
        from_scratch = evaluate.metrics(given.labels, truth, comparison.logits)
        gain = evaluate.gain(truth, adapted, comparison.logits)
    reason = "The frozen backbone with a linear head is the baseline itself."
    transfer = Transfer(
        baseline=metrics.validation,
        from_scratch=from_scratch,
        gain=gain,
        candidates=fitted.candidates,
        guard=Guard(decision="delivered", reason=reason),
    )
    text = explanation(given.parts, len(given.labels), fitted.explanation, metrics, transfer)
    if comparison is not None:
        text += (
            f" Adapting took {comparison.budget:.1f} s of computing; training from scratch "
            f"was given as much and took {comparison.trained.seconds:.1f} s "
            f"({comparison.trained.epochs:.1f} passes over the images, one at least)."
        )
    return transfer.model_copy(update={"explanation": text})


def _export(spec: RunSpec, trained: Trained, given: _Input, context: Context) -> Produced:
    """Make the model's files and prove them."""
    context.progress("exporting", 0.90)
    with_graph = "onnx" in spec.spec.exports
    parts = shared_parts(trained.backbone, spec.shared_cache, with_graph, context.event)
    blobs = Blobs(spec.workspace / "blobs")
    files = model_files(trained, parts, blobs)
    context.check()
    if with_graph:
        context.progress("exporting", 0.95)
        _prove(files, spec.workspace / "proof", trained, given, context)
    return produced(blobs, files)


def _prove(
    files: list[ModelFile], folder: Path, trained: Trained, given: _Input, context: Context
) -> None:
    images = given.parts.validation or given.parts.train
    features = given.features.of(images)
    head = parity.check_head(trained.head, features)
    step = max(1, len(images) // parity.MAX_PHOTOS)
    chosen = images[::step][: parity.MAX_PHOTOS]
    shipped = trained.head.calibrated()
    expected = shipped.logits(given.features.of(chosen)).softmax(dim=1)
    photos = parity.check_photos(files, folder, chosen, expected)
    shutil.rmtree(folder)
    context.metrics(0, parity_head=head, parity_photos=photos)


def _lineage(spec: RunSpec, given: _Input) -> dict[str, object]:
    """Return what the model came from, enough to make it again."""
    record = BACKBONES[spec.spec.base.backbone]
    rows = sorted(f"{image.sha256} {image.label}" for image in given.parts.train)
    return {
        "backbone": record.name,
        "weights_fingerprint": record.weights_fingerprint,
        "strategy": spec.spec.strategy.type,
        "seed": spec.spec.seed,
        "features_key": given.features.key,
        "numeric_profile": numeric_profile(),
        "training_set_sha256": hashlib.sha256("\n".join(rows).encode()).hexdigest(),
        "num_train": len(given.parts.train),
        "num_validation": len(given.parts.validation),
        "num_test": len(given.parts.test),
    }
