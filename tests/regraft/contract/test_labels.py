"""How two sets of labels relate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.contract.labels import LabelSpaces, label_spaces


@pytest.mark.parametrize(
    ("source", "target", "relation"),
    [
        (["mug", "cup"], ["cup", "mug"], "same"),
        (["mug", "cup", "pot"], ["cup", "mug"], "overlapping"),
        (["mug"], ["cup", "mug"], "overlapping"),
        (["Mug"], ["mug"], "disjoint"),
        ([], ["mug"], "disjoint"),
    ],
)
def test_the_table(source: list[str], target: list[str], relation: str) -> None:
    """A strategy would be refused where it works, or run where it cannot."""
    assert label_spaces(source, target) == relation


@given(st.sets(st.text(), min_size=1), st.sets(st.text(), min_size=1))
def test_the_relation_has_no_direction(one: set[str], other: set[str]) -> None:
    """Which of the two is called the source changes nothing about what they share."""
    assert label_spaces(one, other) is label_spaces(other, one)
    assert (label_spaces(one, other) is LabelSpaces.DISJOINT) == one.isdisjoint(other)
