"""Read a run's datasets: images to learn from and to test on, their features, the labels in order.

May import torch, the contract and the engine's own modules.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.labels import LabelSpaces, label_spaces
from worker.engine import data as datasets
from worker.engine.backbone import Backbone
from worker.engine.context import Context
from worker.engine.data import Image, without_labels
from worker.engine.duplicates import ALIKE, grouped, leaked
from worker.engine.failures import EngineError
from worker.engine.features import DEFAULT_BATCH, Extractor, Features, cache_of
from worker.engine.runspec import DataSource, RunSpec, Surroundings
from worker.engine.runtime_choice import runtime_of
from worker.engine.splits import Split, split
from worker.engine.strategies.base import Source

MIN_CLASSES = 2
_MAX_NAMED = 10


class Inputs(NamedTuple):
    """The dataset's images in parts, other images to learn from, features of all, the labels.

    `labels` are the target's in order; no image of `source` or `unlabelled` is held out. `leaks`
    are the held-out and test images, by hash, that nearly equal one that is learned from.
    """

    parts: Split
    features: Features
    labels: list[str]
    source: Source | None
    unlabelled: list[Image]
    leaks: dict[str, Image]

    @property
    def num_learned(self) -> int:
        """How many images are learned from, of all datasets."""
        source = () if self.source is None else self.source.images
        return len(self.parts.train) + len(source) + len(self.unlabelled)

    def truth(self, images: Sequence[Image]) -> Tensor:
        """Return the class numbers [n] of n images."""
        return numbers_of(images, self.labels)


class _Given(NamedTuple):
    """The images of all datasets of a run, each without repeats."""

    images: list[Image]
    tests: list[Image]
    source: list[Image]
    unlabelled: list[Image]


def numbers_of(images: Sequence[Image], names: Sequence[str]) -> Tensor:
    """Return the class numbers [n] of n labelled images: positions in `names`."""
    number = {label: position for position, label in enumerate(names)}
    return torch.tensor([number[image.label or ""] for image in images], dtype=torch.int64)


def read_inputs(spec: RunSpec, backbone: Backbone, context: Context) -> Inputs:
    """Read all datasets, compute features, and hold images out.

    A test dataset, where there is one, takes the place of the dataset's own test images.
    """
    given = _read(spec, context)
    every = [image for part in given for image in part]
    features = extractor(spec, backbone, context).extract(every)
    report_unreadable(features, context)
    parts = _split(spec, given, features, context)
    labels = sorted({image.label or "" for image in parts.train})
    _require_classes(set(labels), "dataset")
    _require_known(labels, parts.validation, "dataset")
    _require_known(labels, parts.test, "test_dataset" if spec.test_data else "dataset")
    learned = _not_held_out(given, parts, features, context)
    source = _source(spec, learned, labels) if spec.source_data else None
    leaks = _leaks(parts, learned, features, context)
    return Inputs(parts, features, labels, source, learned.unlabelled, leaks)


def extractor(
    spec: Surroundings, backbone: Backbone, context: Context, *, keeps: bool = True
) -> Extractor:
    """Return what computes features of a backbone, and keeps them in the run's cache.

    Without `keeps` they stay there alone, as those of a backbone that no other run will have.
    """
    wanted = spec.spec.hyperparameters.batch_size if isinstance(spec, RunSpec) else "auto"
    size = DEFAULT_BATCH if wanted == "auto" else wanted
    runtime = runtime_of(spec, backbone, context)
    cache = cache_of(backbone, spec.cache, runtime)
    return Extractor(backbone, cache, size, context, runtime, keeps=keeps)


def _read(spec: RunSpec, context: Context) -> _Given:
    images = labelled(spec.data, "dataset", context)
    _require_classes({image.label for image in images}, "dataset")
    tests = labelled(spec.test_data, "test_dataset", context) if spec.test_data else []
    source = labelled(spec.source_data, "source_dataset", context) if spec.source_data else []
    unlabelled = spec.unlabelled_data
    return _Given(
        images=images,
        tests=unseen(tests, images, context),
        source=source,
        unlabelled=without_labels(loaded(unlabelled, "unlabelled_dataset")) if unlabelled else [],
    )


def _split(spec: RunSpec, given: _Given, features: Features, context: Context) -> Split:
    validation = spec.spec.validation
    images = grouped(_readable(given.images, features), features.looks, context.check)
    count = sum((image.group or "").startswith(ALIKE) for image in images)
    if count:
        context.event(f"Kept on one side of the split: {count} images that are nearly equal.")
    parts = split(images, validation.fraction, validation.seed)
    return parts._replace(test=_readable(given.tests, features)) if spec.test_data else parts


def _leaks(parts: Split, given: _Given, features: Features, context: Context) -> dict[str, Image]:
    """Return the held-out images that nearly equal one that is learned from, and say so."""
    learned = [*parts.train, *given.source, *given.unlabelled]
    found: dict[str, Image] = {}
    for name, images in (("held-out", parts.validation), ("test", parts.test)):
        here = leaked(images, learned, features.looks, context.check)
        if here:
            names = [image.name for image in images if image.sha256 in here][:_MAX_NAMED]
            message = f"{len(here)} {name} images nearly equal images that are learned from"
            context.event(f"{message}, such as {names[0]}.", "warn", leaks=len(here), images=names)
        found |= here
    return found


def _not_held_out(given: _Given, parts: Split, features: Features, context: Context) -> _Given:
    """Return `given` without held-out images among what is learned from: they would prove nothing.

    Pictures are compared by the hash of their bytes.
    """
    held_out = {image.sha256 for image in (*parts.validation, *parts.test)}

    def kept(images: list[Image], param: str) -> list[Image]:
        readable = _readable(images, features)
        clean = [image for image in readable if image.sha256 not in held_out]
        count = len(readable) - len(clean)
        if count:
            message = f"Left out of the {param}: {count} images that the model is tested on."
            context.event(message, "warn", held_out=count)
        return clean

    return given._replace(
        source=kept(given.source, "source_dataset"),
        unlabelled=kept(given.unlabelled, "unlabelled_dataset"),
    )


def _source(spec: RunSpec, given: _Given, labels: list[str]) -> Source:
    """Return the source under its own class numbers; raise where the strategy cannot use it."""
    names = sorted({image.label or "" for image in given.source})
    _require_classes(set(names), "source_dataset")
    strategy = spec.spec.strategy
    if strategy.needs_shared_labels and label_spaces(names, labels) is LabelSpaces.DISJOINT:
        raise EngineError(
            ErrorCode.LABEL_SPACES_DISJOINT,
            f"{strategy.type} needs labels in common, and the source has none of the dataset.",
            "source_dataset",
        )
    return Source(given.source, numbers_of(given.source, names), names)


def loaded(source: DataSource, param: str) -> list[Image]:
    """Return the images of a source; raises VALIDATION_FAILED where it is not there."""
    try:
        return datasets.load(source)
    except ValueError as error:
        raise EngineError(ErrorCode.VALIDATION_FAILED, f"{param}: {error}", param) from error


def labelled(source: DataSource, param: str, context: Context) -> list[Image]:
    """Return the labelled images of a source, each once, and say what was left out."""
    images, left_out = datasets.distinct(loaded(source, param))
    if left_out:
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        context.event(f"Left out of the {param}: {listed}.", "warn", **left_out)
    return images


def unseen(tests: Sequence[Image], images: Sequence[Image], context: Context) -> list[Image]:
    """Return the test images that are not in the dataset too: what was seen proves nothing."""
    known = {image.sha256 for image in images}
    unseen = [image for image in tests if image.sha256 not in known]
    if len(unseen) < len(tests):
        count = len(tests) - len(unseen)
        context.event(f"Left out of the test: {count} images that are in the dataset too.", "warn")
    return unseen


def _readable(images: Sequence[Image], features: Features) -> list[Image]:
    return [image for image in images if image.sha256 in features.rows]


def report_unreadable(features: Features, context: Context) -> None:
    """Say of each image without features why it has none."""
    for sha256, reason in sorted(features.unreadable.items()):
        context.event(f"Left out an image: it {reason}.", "warn", sha256=sha256)


def _require_classes(labels: set[str] | set[str | None], param: str) -> None:
    if len(labels) < MIN_CLASSES:
        raise EngineError(
            ErrorCode.TOO_FEW_IMAGES,
            f"Training needs usable labelled images of at least {MIN_CLASSES} classes; "
            f"the {param} has {len(labels)}.",
            param,
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
