"""References to models: three spellings, and everything else is none."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.contract.ids import new_id
from regraft.contract.naming import MODEL_NAME_PATTERN
from regraft.contract.refs import MAX_VERSION, ModelRef, is_name, parse

NAMES = st.from_regex(re.compile(MODEL_NAME_PATTERN), fullmatch=True).filter(is_name)


@given(NAMES, NAMES, st.integers(1, MAX_VERSION))
def test_what_can_be_named(name: str, alias: str, version: int) -> None:
    """A model could be promoted under a name that no route finds."""
    assert parse(f"{name}@{alias}") == ModelRef(name=name, alias=alias)
    assert parse(f"{name}:{version}") == ModelRef(name=name, version=version)
    model_id = new_id("md")
    assert parse(model_id) == ModelRef(id=model_id)


@given(st.text(max_size=80))
def test_any_text_is_understood_or_is_nothing(text: str) -> None:
    """One model, one spelling of its id, name, alias and version: nothing is trimmed or guessed."""
    ref = parse(text)
    spelt = {
        ref is None: "",
        ref is not None and ref.id is not None: str(ref and ref.id),
        ref is not None and ref.alias is not None: f"{ref and ref.name}@{ref and ref.alias}",
        ref is not None and ref.version is not None: f"{ref and ref.name}:{ref and ref.version}",
    }
    assert ref is None or spelt[True] == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a@", "a:", "@b", ":1", "a@b@c", "a:1:2", "a@b:1", "A@b", "a@b\n", "a:1\n"),
        *("a:0", "a:01", "a:-1", "a:+1", "a:1.0", "a:\N{SUPERSCRIPT ONE}", "a:2147483648"),
        *("a\0@b", "md_1", "a@" + "b" * 64, "ds_" + "0" * 26, "MD_" + "0" * 26),
    ],
)
def test_what_names_nothing(text: str) -> None:
    """It would reach a query, which refuses some of it with an error of its own."""
    assert parse(text) is None
