"""Size budgets: what keeps each function and file small enough to be read in one go."""

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("regraft", "core", "db", "api", "serve", "worker", "deploy", "benchmarks")


def _sources() -> list[Path]:
    found = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in found if "versions" not in path.parts]


def _functions() -> Iterator[tuple[str, int]]:
    for path in _sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", lines


def _percentile(values: list[int], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def test_functions_are_short() -> None:
    """A function that needs scrolling hides its bug from the next reader."""
    sizes = dict(_functions())
    longest = sorted(sizes.items(), key=lambda item: -item[1])[:15]
    assert max(sizes.values()) <= 60, longest
    assert statistics.median(sizes.values()) <= 10
    assert _percentile(list(sizes.values()), 90) <= 40, longest


def test_files_are_short() -> None:
    """A file of many subjects has no place where a newcomer would look first."""
    sizes = {str(path): len(path.read_text().splitlines()) for path in _sources()}
    longest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    assert max(sizes.values()) <= 600, longest
    assert _percentile(list(sizes.values()), 95) <= 400, longest


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """A newcomer reads the first lines of a file to know whether to read on."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    lines = text.splitlines()
    assert 1 <= len(lines) <= 7, f"{path} opens with {len(lines)} lines of docstring"
