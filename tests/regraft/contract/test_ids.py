"""Ids: one form for each type, in the order of their making."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.contract.ids import Prefix, is_id, new_id

PREFIXES: list[Prefix] = ["ds", "job", "md", "evt", "key", "mer", "img", "slot"]
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


@given(st.sampled_from(PREFIXES), st.sampled_from(PREFIXES))
def test_an_id_is_of_its_own_type_alone(prefix: Prefix, other: Prefix) -> None:
    """A dataset's id would open a job's route."""
    value = new_id(prefix)
    assert value.startswith(f"{prefix}_")
    assert is_id(value, other) == (prefix == other)


def test_later_ids_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists page by id: an id out of order would be skipped or shown twice."""
    start = time.time_ns()
    made = []
    for millisecond in range(0, 100_000, 997):
        monkeypatch.setattr(time, "time_ns", lambda at=millisecond: start + at * 1_000_000)
        made.append(new_id("job"))
    assert made == sorted(made)


def test_ids_do_not_repeat() -> None:
    """Two jobs of one millisecond would be one row."""
    assert len({new_id("img") for _ in range(10_000)}) == 10_000


@given(st.text(max_size=40))
def test_other_text_is_no_id(text: str) -> None:
    """What is not an id must end as 404, not reach a query."""
    fits = len(text) == 26 and text[0] in "01234567" and set(text) <= set(CROCKFORD)
    assert is_id(f"job_{text}", "job") == fits


@given(st.text(alphabet=CROCKFORD, min_size=26, max_size=26), st.integers(0, 25))
def test_each_letter_counts(body: str, place: int) -> None:
    """A letter that reads like another (i, l, o) would give one row two names."""
    first = "0" + body[1:]
    assert is_id(f"ds_{first}", "ds")
    for letter in "ilouILOU-\n A":
        assert not is_id(f"ds_{first[:place]}{letter}{first[place + 1 :]}", "ds")


@pytest.mark.parametrize("change", [str.upper, lambda it: it + "\n", lambda it: " " + it])
def test_other_spellings_are_refused(change: Callable[[str], str]) -> None:
    """One id, one spelling: else a cache or a log could be fooled."""
    assert not is_id(change(new_id("md")), "md")
