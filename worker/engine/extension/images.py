"""The images of an extension: of the new labels, and of those that the model knew before.

May import torch, the contract and the engine's own modules.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.strategies import MIN_NEW, Prototype
from worker.engine.backbone import Backbone
from worker.engine.context import Context
from worker.engine.data import Image, distinct
from worker.engine.duplicates import grouped
from worker.engine.extension.rows import Examples
from worker.engine.failures import EngineError
from worker.engine.features import Features
from worker.engine.finished import Known, Record
from worker.engine.inputs import extractor, labelled, loaded, numbers_of, report_unreadable, unseen
from worker.engine.runspec import FinishedFiles, RunSpec
from worker.engine.splits import unit

MIN_OLD = 5  # images of known labels, to put the new ones on the scale of


class Gathered(NamedTuple):
    """Readable images and their features.

    `new` show new labels; `held_out` and `learned` show known ones, those that the model was not
    trained on and the others; `tests` are the job's. No image is in two of them. `labels` are the
    model's own, then the new ones.
    """

    new: list[Image]
    held_out: list[Image]
    learned: list[Image]
    tests: list[Image]
    features: Features
    labels: list[str]

    def examples(self, images: Sequence[Image]) -> Examples:
        """Return images as the mathematics of rows takes them."""
        number = {name: place for place, name in enumerate({unit(one): 0 for one in images})}
        units = torch.tensor([number[unit(image)] for image in images], dtype=torch.int64)
        return Examples(self.features.of(images), self.truth(images), units)

    def truth(self, images: Sequence[Image]) -> Tensor:
        """Return the class numbers [n] of n images."""
        return numbers_of(images, self.labels)


def gather(
    spec: RunSpec,
    backbone: Backbone,
    parent: tuple[Known, Record],
    files: FinishedFiles,
    context: Context,
) -> Gathered:
    """Read every image of the run, and compute what features are not known yet.

    Raises:
        EngineError: LABEL_EXISTS where the dataset has no new label, TOO_FEW_IMAGES for fewer
            than `MIN_NEW` readable images of one, or fewer than `MIN_OLD` of the known labels.
    """
    known, record = parent
    given = _given(spec, context)
    new = _new(spec, given, known)
    old = _old(files, given, known, new)
    tests = labelled(spec.test_data, "test_dataset", context) if spec.test_data else []
    tests = unseen(tests, [*new, *old], context)
    features = extractor(spec, backbone, context).extract([*new, *old, *tests])
    report_unreadable(features, context)
    new, old, tests = (_readable(images, features) for images in (new, old, tests))
    names = sorted({image.label or "" for image in new})
    counts = Counter(image.label for image in new)
    _require_enough(names, counts, old)
    labels = [*known.labels, *names]
    _require_known(labels, tests)
    held = _held_out(record, given, old)
    return Gathered(
        new=_parted(grouped(new, features.looks, context.check)),
        held_out=[image for image in old if image.sha256 in held],
        learned=[image for image in old if image.sha256 not in held],
        tests=tests,
        features=features,
        labels=labels,
    )


def _options(spec: RunSpec) -> Prototype:
    options = spec.spec.strategy
    if not isinstance(options, Prototype):
        raise TypeError(f"{options.type} extends no model")
    return options


def _given(spec: RunSpec, context: Context) -> list[Image]:
    """Return the dataset's images; without any labels they show the one that is asked for."""
    label = _options(spec).label
    images = loaded(spec.data, "dataset")
    if label is not None and all(image.label is None for image in images):
        return distinct(image._replace(label=label) for image in images).images
    return labelled(spec.data, "dataset", context)


def _new(spec: RunSpec, given: Iterable[Image], known: Known) -> list[Image]:
    wanted = _options(spec).label
    unknown = [image for image in given if image.label not in known.labels]
    new = [image for image in unknown if wanted in {None, image.label}]
    if not new:
        what = "an image with a label" if wanted is None else f"an image of {wanted!r}"
        message = f"The dataset has not {what} that the model does not know."
        raise EngineError(ErrorCode.LABEL_EXISTS, message, "dataset")
    return new


def _old(
    files: FinishedFiles, given: Iterable[Image], known: Known, new: Iterable[Image]
) -> list[Image]:
    """Return each image of a known label once; one that shows a new label is that label's."""
    taken = {image.sha256 for image in new}
    every = [image for data in files.data for image in loaded(data, "base.model")]
    found = distinct([*every, *given]).images
    kept = (image for image in found if image.label in known.labels)
    return sorted(
        (image for image in kept if image.sha256 not in taken), key=lambda image: image.sha256
    )


def _held_out(record: Record, given: Iterable[Image], old: Iterable[Image]) -> set[str]:
    """Return the hashes of images that the model was not trained on.

    Those of the dataset count as such unless the model's own datasets hold them too.
    """
    said = record.held_out
    held = {one.sha256 for one in (*said.validation, *said.test)}
    paths = {image.path for image in given}
    return held | {image.sha256 for image in old if image.path in paths}


def _parted(images: Sequence[Image]) -> list[Image]:
    """Return images in units that can be judged by each other.

    A label whose images all show one product, or look alike, is judged image by image.
    """
    units: dict[str | None, set[str]] = {}
    for image in images:
        units.setdefault(image.label, set()).add(unit(image))
    return [
        image._replace(group=None) if len(units[image.label]) == 1 else image for image in images
    ]


def _readable(images: Sequence[Image], features: Features) -> list[Image]:
    return [image for image in images if image.sha256 in features.rows]


def _require_enough(names: Sequence[str], counts: Counter[str | None], old: list[Image]) -> None:
    few = [name for name in names if counts[name] < MIN_NEW]
    if few or not names:
        listed = ", ".join(f"{name} ({counts[name]})" for name in few) or "none is readable"
        raise EngineError(
            ErrorCode.TOO_FEW_IMAGES,
            f"A new label needs {MIN_NEW} usable images at least: {listed}.",
            "dataset",
        )
    if len(old) < MIN_OLD:
        raise EngineError(
            ErrorCode.TOO_FEW_IMAGES,
            f"Only {len(old)} images of the model's own labels are left to tell the new ones from, "
            f"and {MIN_OLD} are needed: add some to the dataset.",
            "dataset",
        )


def _require_known(labels: Sequence[str], tests: Iterable[Image]) -> None:
    unknown = sorted({image.label or "" for image in tests} - set(labels))
    if unknown:
        listed = ", ".join(unknown[:10])
        message = f"Test images have labels that the model will not know: {listed}."
        raise EngineError(ErrorCode.VALIDATION_FAILED, message, "test_dataset")
