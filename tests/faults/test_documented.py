"""docs/reliability.md names tests that exist, and every fault that a test says it injects."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "reliability.md").read_text()


def test_every_test_that_is_named_exists() -> None:
    """A promise would point at a proof that was deleted long ago."""
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENT)
    assert len(named) > 20
    gone = [
        f"{path}::{name}"
        for path, name in named
        if not re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert gone == []


def test_every_fault_with_a_test_is_in_the_table() -> None:
    """An operator would not learn what the service survives."""
    sources = [*(ROOT / "tests" / "faults").glob("test_*.py"), ROOT / "tests/worker/test_fleet.py"]
    marks = re.findall(r"@pytest\.mark\.fault\(([^)]*)\)", "".join(map(Path.read_text, sources)))
    injected = {number for mark in marks for number in re.findall(r"F\d+", mark)}
    assert len(injected) > 10
    assert injected - set(re.findall(r"^\| (F\d+) \|", DOCUMENT, re.MULTILINE)) == set()
