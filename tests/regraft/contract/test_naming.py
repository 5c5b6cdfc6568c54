"""Names and metadata: what may be stored and shown."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from regraft.contract.naming import MAX_METADATA, MODEL_NAME_PATTERN, Metadata, Text, slug

METADATA: TypeAdapter[dict[str, str]] = TypeAdapter(Metadata)
TEXT: TypeAdapter[str] = TypeAdapter(Text)


@given(st.text(max_size=300))
def test_a_slug_is_a_model_name(text: str) -> None:
    """A name that the registry refuses would fail the job at its very end."""
    made = slug(text)
    assert made == "" or re.fullmatch(MODEL_NAME_PATTERN, made)
    assert made == made.strip("-")
    assert "--" not in made


@given(st.text(max_size=300))
def test_a_slug_stays_what_it_is(text: str) -> None:
    """Taking a model's name for the next job would rename it."""
    assert slug(slug(text)) == slug(text)


@given(st.from_regex(r"[a-z0-9]+(-[a-z0-9]+)*", fullmatch=True).filter(lambda it: len(it) <= 63))
def test_a_proper_name_is_kept(text: str) -> None:
    """`home-goods` must be registered as `home-goods`."""
    assert slug(text) == text


@pytest.mark.parametrize("bad", ["", " ", "a\x00b", "a\nb", "\x1b[31m", "\ud800", "x" * 201])
def test_text_that_no_terminal_or_column_takes_is_refused(bad: str) -> None:
    """PostgreSQL refuses NUL with a 500; a terminal obeys an escape."""
    with pytest.raises(ValidationError):
        TEXT.validate_python(bad)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200))
def test_other_text_is_kept_to_the_letter(text: str) -> None:
    """Merchants write in every script."""
    if text.strip():
        assert TEXT.validate_python(text) == text


@pytest.mark.parametrize(
    "bad",
    [
        {str(number): "x" for number in range(MAX_METADATA + 1)},
        {"k" * 65: "x"},
        {"k": "v" * 513},
        {"": "x"},
        {"k": ""},
        {"k": 1},
        {"k": None},
        {"k": {"nested": "x"}},
        {"a\x00": "x"},
        [],
    ],
)
def test_metadata_has_limits(bad: Any) -> None:
    """Metadata without limits is a database for free."""
    with pytest.raises(ValidationError):
        METADATA.validate_python(bad)


def test_metadata_at_its_limits_is_kept() -> None:
    """What the documentation promises must fit."""
    full = {f"{number:02}" + "k" * 62: "v" * 512 for number in range(MAX_METADATA)}
    assert METADATA.validate_python(full) == full
