"""How the labels of a source and of a target relate: what decides which strategies can use both."""

from collections.abc import Iterable
from enum import StrEnum


class LabelSpaces(StrEnum):
    """The same labels; some in common; none."""

    SAME = "same"
    OVERLAPPING = "overlapping"
    DISJOINT = "disjoint"


def label_spaces(source: Iterable[str], target: Iterable[str]) -> LabelSpaces:
    """Compare two sets of labels, letter by letter."""
    ours, theirs = set(target), set(source)
    if ours == theirs:
        return LabelSpaces.SAME
    return LabelSpaces.OVERLAPPING if ours & theirs else LabelSpaces.DISJOINT
