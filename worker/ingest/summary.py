"""What all verdicts together say of a dataset: repeats, conflicts, warnings, and if it is usable.

May import db.lifecycle's records and regraft.contract.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from db.lifecycle.finish import CheckedImage, Ingested
from regraft.contract.resources import ClassCount, Warn
from regraft.contract.verdict import KEPT, Verdict
from worker.ingest.messages import Checked

_FEW_IMAGES = 2
_IMBALANCE = 10
_NAMED_CLASSES = 10
_MIN_CLASSES = 2


def summarise(checked: Sequence[Checked]) -> Ingested:
    """Return the final verdicts in the order of `checked`, and the dataset's facts."""
    images = _compared(checked)
    kept = [image for image in images if image.verdict in KEPT]
    counts = Counter(image.label for image in kept if image.label is not None)
    reason = _unusable(kept, counts, labelled=any(image.label is not None for image in images))
    return Ingested(
        status="ready" if reason is None else "invalid",
        reason=reason,
        num_images=len(kept),
        num_rejected=len(images) - len(kept),
        num_unlabelled=sum(image.label is None for image in kept),
        classes=[ClassCount(name=name, num_images=counts[name]) for name in sorted(counts)],
        warnings=_warnings(images, counts),
        images=images,
    )


def _compared(checked: Sequence[Checked]) -> list[CheckedImage]:
    """Compare what is seen in the images with each other.

    The same picture in two classes is rejected in all its copies: no copy can be known to be
    the right one, and either would teach a coin toss. A repeat is kept and marked; so is an
    unlabelled twin of a labelled picture.
    """
    labels: dict[str, set[str]] = defaultdict(set)
    for one in checked:
        if one.content is not None and one.label is not None:
            labels[one.content].add(one.label)
    seen: set[str] = set()
    images = []
    for one in checked:
        if one.content is None:
            images.append(_image(one, one.verdict, one.message))
        elif len(labels[one.content]) > 1:
            names = ", ".join(sorted(labels[one.content])[:_NAMED_CLASSES])
            message = f"The same picture is in several classes: {names}."
            images.append(_image(one, Verdict.CONFLICTING_LABEL, message))
        else:
            repeated = one.content in seen
            images.append(_image(one, Verdict.OK_DUPLICATE if repeated else Verdict.OK, None))
            seen.add(one.content)
    return images


def _image(one: Checked, verdict: Verdict, message: str | None) -> CheckedImage:
    is_kept = verdict in KEPT
    return CheckedImage(
        path=one.path,
        label=one.label,
        group=one.group,
        split=one.split,
        verdict=verdict,
        message=message,
        sha256=one.sha256 if is_kept else None,
        thumbnail=one.thumbnail if is_kept else None,
        content=one.content if is_kept else None,
        width=one.width,
        height=one.height,
    )


def _unusable(kept: Sequence[CheckedImage], counts: Counter[str], *, labelled: bool) -> str | None:
    """Return why nothing can be learned from the dataset, or None."""
    if not kept:
        return "None of its files is a usable image."
    if labelled and len(counts) < _MIN_CLASSES:
        return f"Only {len(counts)} of the classes has a usable image; at least two are needed."
    return None


def _warnings(images: Sequence[CheckedImage], counts: Counter[str]) -> list[Warn]:
    given = {image.label for image in images if image.label is not None}
    few = [name for name, count in counts.items() if count < _FEW_IMAGES]
    repeats = sum(image.verdict is Verdict.OK_DUPLICATE for image in images)
    found = []
    if empty := given - counts.keys():
        found.append(("class_without_images", f"Classes without a usable image: {_list(empty)}."))
    if few:
        found.append(("class_with_one_image", f"Classes with a single image: {_list(few)}."))
    if counts and max(counts.values()) > _IMBALANCE * min(counts.values()):
        message = f"The largest class has over {_IMBALANCE} times the images of the smallest."
        found.append(("imbalanced", message))
    if repeats:
        found.append(("duplicates", f"{repeats} images repeat others of their class."))
    return [Warn(code=code, message=message) for code, message in found]


def _list(names: set[str] | list[str]) -> str:
    shown = sorted(names)[:_NAMED_CLASSES]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
