"""Who is trained on and who is held out: stratified, grouped by product, decided by a seed.

Independent of row order and platform: the only source of chance is a hash of seed and group.
May import `data` and the standard library; no torch.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from regraft.contract.status import SPLITS, TRAIN, VALIDATION
from worker.engine.data import Image

MAX_FOLDS = 5


class Split(NamedTuple):
    """The three parts of a dataset, each ordered by hash."""

    train: list[Image]
    validation: list[Image]
    test: list[Image]


class _Group(NamedTuple):
    """The images of one product, which never part; `stratum` is the label they count under."""

    key: str
    stratum: str
    images: list[Image]


def split(images: Sequence[Image], fraction: float, seed: int) -> Split:
    """Hold out about `fraction` of the images.

    A split that a row names wins; where rows name validation images, no others are drawn.
    Every class keeps at least one training image that it had the right to keep.
    """
    fixed = _spread_fixed(images)
    free = [image for image in images if image.sha256 not in fixed]
    drawn = set[str]()
    if fraction > 0 and VALIDATION not in fixed.values():
        drawn = _draw(_groups(free), fraction, seed)
    where = {image.sha256: VALIDATION if image.sha256 in drawn else TRAIN for image in free} | fixed
    ordered = sorted(images, key=lambda image: (image.sha256, image.name))
    parts = [[image for image in ordered if where[image.sha256] == part] for part in SPLITS]
    return Split(*parts)


def _spread_fixed(images: Iterable[Image]) -> dict[str, str]:
    """Return the named split of each image, spread to the rows of its group that name none."""
    images = list(images)
    of_group: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if image.split in SPLITS:
            of_group[unit(image)].add(image.split)
    fixed: dict[str, str] = {}
    for image in images:
        named = of_group.get(unit(image))
        if image.split in SPLITS:
            fixed[image.sha256] = image.split
        elif named:
            fixed[image.sha256] = min(named, key=SPLITS.index)
    return fixed


def unit(image: Image) -> str:
    """Return what an image never parts from: its product, or itself where it names none."""
    return image.sha256 if image.group is None else f"group:{image.group}"


def _groups(images: Iterable[Image]) -> list[_Group]:
    members: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        members[unit(image)].append(image)
    return [_Group(key, _stratum(members[key]), members[key]) for key in sorted(members)]


def _stratum(images: Iterable[Image]) -> str:
    counts = Counter(image.label or "" for image in images)
    return min(counts, key=lambda label: (-counts[label], label))


def _shuffled(groups: Iterable[_Group], seed: int) -> list[_Group]:
    def draw(group: _Group) -> str:
        return hashlib.sha256(f"{seed}:{group.key}".encode()).hexdigest()

    return sorted(groups, key=draw)


def _strata(groups: Iterable[_Group], seed: int) -> dict[str, list[_Group]]:
    strata: dict[str, list[_Group]] = defaultdict(list)
    for group in _shuffled(groups, seed):
        strata[group.stratum].append(group)
    return dict(sorted(strata.items()))


def _draw(groups: Sequence[_Group], fraction: float, seed: int) -> set[str]:
    """Return the hashes of the images to hold out."""
    strata = _strata(groups, seed)
    held: set[str] = set()
    for label, quota in _quotas(strata, fraction).items():
        count = 0
        for group in strata[label][:-1]:
            if count + len(group.images) / 2 <= quota:
                count += len(group.images)
                held.update(image.sha256 for image in group.images)
    return held - _owed_to_training(groups, held)


def _quotas(strata: Mapping[str, Sequence[_Group]], fraction: float) -> dict[str, int]:
    """Return how many images each stratum gives: largest remainders, so the sum is right too."""
    sizes = {
        label: sum(len(group.images) for group in groups)
        for label, groups in strata.items()
        if len(groups) > 1
    }
    quotas = {label: int(fraction * size) for label, size in sizes.items()}
    short = int(fraction * sum(sizes.values()) + 0.5) - sum(quotas.values())
    by_remainder = sorted(sizes, key=lambda label: (quotas[label] - fraction * sizes[label], label))
    for label in by_remainder[:short]:
        quotas[label] += 1
    return quotas


def _owed_to_training(groups: Sequence[_Group], held: set[str]) -> set[str]:
    """Return the held images that go back because a class would have no training image left.

    Only a group of mixed labels can cause this: it counts under one label and takes others along.
    """
    images = [image for group in groups for image in group.images]
    trained = {image.label for image in images if image.sha256 not in held}
    back: set[str] = set()
    for group in groups:
        missing = {image.label for image in group.images} - trained
        if missing and any(image.sha256 in held for image in group.images):
            back.update(image.sha256 for image in group.images)
            trained |= missing
    return back


def dealt(images: Sequence[Image], num_parts: int) -> list[int]:
    """Return the part of each image, 0 to `num_parts` - 1: stratified, products kept whole."""
    strata = _strata(_groups(images), 0)
    ordered = (group.key for groups in strata.values() for group in groups)
    part_of = {key: turn % num_parts for turn, key in enumerate(ordered)}
    return [part_of[unit(image)] for image in images]


def folds(images: Sequence[Image], seed: int) -> list[int]:
    """Return the fold of each image for cross-validation, -1 for those always trained on.

    At most `MAX_FOLDS` folds, fewer where no class has that many groups. The only group of a
    class is in no fold: a model trained without it could not name the class. All -1 when no
    class has two groups: cross-validation is impossible.
    """
    strata = _strata(_groups(images), seed)
    num_folds = min(MAX_FOLDS, max((len(groups) for groups in strata.values()), default=0))
    fold_of: dict[str, int] = {}
    turn = 0
    for groups in strata.values():
        for group in groups if len(groups) > 1 else ():
            # One turn for all strata: small classes do not all land in fold 0.
            fold_of[group.key] = turn % num_folds
            turn += 1
    numbers = [fold_of.get(unit(image), -1) for image in images]
    return _without_orphans(images, numbers)


def _without_orphans(images: Sequence[Image], numbers: list[int]) -> list[int]:
    """Take out of its fold each class whose images all lie in that one fold."""
    where: dict[str | None, set[int]] = defaultdict(set)
    for image, number in zip(images, numbers, strict=True):
        where[image.label].add(number)
    orphans = {label for label, found in where.items() if len(found) == 1}
    return [
        -1 if image.label in orphans else number
        for image, number in zip(images, numbers, strict=True)
    ]
