"""Read a run's datasets: labelled images, their features, who is held out, the labels in order.

May import torch, the contract and the engine's own modules.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from worker.engine import data as datasets
from worker.engine.backbone import Backbone
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.failures import EngineError
from worker.engine.features import DEFAULT_BATCH, Extractor, Features, cache_of
from worker.engine.runspec import DataSource, RunSpec
from worker.engine.splits import Split, split

MIN_CLASSES = 2


class Inputs(NamedTuple):
    """Labelled images, their features, who is held out, and the labels in order."""

    parts: Split
    features: Features
    labels: list[str]

    def truth(self, images: Sequence[Image]) -> Tensor:
        """Return the class numbers [n] of n images."""
        number = {label: position for position, label in enumerate(self.labels)}
        return torch.tensor([number[image.label or ""] for image in images], dtype=torch.int64)


def read_inputs(spec: RunSpec, backbone: Backbone, context: Context) -> Inputs:
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
    return Inputs(parts, features, labels)


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
