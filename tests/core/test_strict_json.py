"""JSON that two readers could take for two things."""

import pytest

from core.strict_json import InvalidJsonError, parse


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"a": 1, "a": 2}', "same name twice"),
        (b'[{"b": {"a": 1, "a": 1}}]', "same name twice"),
        (b"NaN", "NaN"),
        (b"1e999", "too large"),
        (b"9" * 5000, "too long"),
        (b"[" * 100_000, "too deeply"),
        (b'"\xff"', "not UTF-8"),
        (b"{", "not JSON"),
        ("{}x", "not JSON"),
    ],
)
def test_what_is_refused(text: bytes | str, why: str) -> None:
    """One reader would see another value than the next one does."""
    with pytest.raises(InvalidJsonError, match=why):
        parse(text)


def test_what_is_read() -> None:
    """Ordinary JSON would be refused."""
    assert parse('{"a": [1, 2.5, null, "\\u00e9"]}') == {"a": [1, 2.5, None, "é"]}
