"""`python -m benchmarks.quality`: measure what is missing, print tables and verdicts.

Every cell is appended to `--rows` as soon as it is measured, and not measured again: these hours
are kept with the sources.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.quality import report
from benchmarks.quality.cells import TABLES, Cell, Table
from benchmarks.quality.measuring import Row, Todo, measured, opened, say
from benchmarks.quality.sets import ImageSet
from regraft.contract.strategies import AnyStrategy, Dann, FineTuning
from worker.engine.strategies import STRATEGIES
from worker.engine.strategies.planner.trials import MIN_HELD

_NUM_EACH = (1, 3, 5, 10, 20, 50, 100)
_FEW, _MANY_DRAWS, _DRAWS = 5, 10, 5  # decisions: at least 10 draws up to 5 images, 5 above
_TUNED_DRAWS = 3  # minutes each
_STRONG = "dann_strong"  # aligns what has no counterpart: the published negative transfer
_ANY: TypeAdapter[AnyStrategy] = TypeAdapter(AnyStrategy)


def main() -> None:
    """Measure until all cells are there or the time is up, then report what there is."""
    options = _options()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    cells: Path = options.rows
    known = _known(cells, options.again)
    ends = time.monotonic() + options.seconds
    found = opened(options)
    todo = [
        one
        for table, images in found
        for one in _plan(table, images, options)
        if one.cell not in known
    ]
    # The first draws of all before the second of any: what there is by the end is whole.
    todo.sort(key=lambda one: (one.is_slow, one.cell.draw, one.cell.num_each))
    with cells.open("a") as out:
        for row in measured(todo, ends, options):
            known[_cell(row)] = row
            out.write(json.dumps(row) + "\n")
            out.flush()
    _report([row for row in known.values() if row.get("accuracy") is not None], folder)
    left = sum(one.cell not in known for one in todo)
    if left:
        say(f"{left} cells are left; run again to go on from here, or raise --seconds.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".regraft/bench-quality"))
    parser.add_argument("--rows", type=Path, default=Path("benchmarks/quality/measured.jsonl"))
    parser.add_argument("--seconds", type=float, default=3600, help="when to begin no new cell")
    parser.add_argument("--table", choices=TABLES, help="one table alone")
    parser.add_argument("--only", help="the name of one set")
    parser.add_argument("--strategy", action="append", help="one strategy alone; repeatable")
    parser.add_argument("--draws", type=int, help="at most so many of every point")
    parser.add_argument("--most", type=int, default=100, help="images a class, at most")
    parser.add_argument("--again", action="append", default=[], help="measure a strategy anew")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _cell(row: Row) -> Cell:
    return Cell(*(row[field] for field in Cell._fields))


def _known(path: Path, again: list[str]) -> dict[Cell, Row]:
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return {_cell(row): row for row in rows if row["strategy"] not in again}


def _plan(table: Table, images: ImageSet, options: argparse.Namespace) -> Iterator[Todo]:
    """Yield the cells of a set in a table."""
    theirs = {one.label for one in images.source}
    shared = {one.label for one in images.pool} & theirs
    is_partial = bool(shared) and shared != theirs
    every = (report.REFERENCE, *STRATEGIES, *((_STRONG,) if is_partial else ()))
    for name in options.strategy or every:
        strategy = _strategy(name, table)
        is_tuned = isinstance(strategy, FineTuning)
        if is_tuned and not table.is_tuned:
            continue
        if strategy.needs_source and not images.source:
            continue
        if strategy.needs_shared_labels and not shared:
            continue
        for num_each, is_slow in _points(strategy, table, images):
            draws = _TUNED_DRAWS if is_slow else _MANY_DRAWS if num_each <= _FEW else _DRAWS
            for draw in range(min(draws, options.draws or draws)):
                cell = Cell(images.name, num_each, draw, name)
                # The guard trains a second time: asked once, where there is most to tell by.
                is_guarded = not is_tuned or (draw == 0 and num_each == images.tuned_at[-1])
                if num_each <= options.most:
                    yield Todo(cell, strategy, is_slow=is_slow, is_guarded=is_guarded)


def _points(strategy: AnyStrategy, table: Table, images: ImageSet) -> Iterator[tuple[int, bool]]:
    """Yield the numbers of images a class to measure at, and whether a backbone is trained."""
    counts = Counter(one.label for one in images.pool)
    num_classes = len(counts)
    for num_each in (one for one in _NUM_EACH if one <= min(counts.values())):
        # With one image of each class auto trains where there is a source (ADR 0017).
        can_tell = num_each * num_classes >= MIN_HELD if num_each > 1 else bool(images.source)
        is_slow = isinstance(strategy, FineTuning) or (
            strategy.type == "auto" and can_tell and table.is_tuned
        )
        if not is_slow or num_each in images.tuned_at:
            yield num_each, is_slow


def _strategy(name: str, table: Table) -> AnyStrategy:
    if name == _STRONG:
        return Dann(strength=30.0)
    if name == report.REFERENCE:
        name = "linear_probe"
    settings = {"fine_tuning": "off"} if name == "auto" and not table.is_tuned else {}
    return _ANY.validate_python({"type": name, **settings})


def _report(rows: list[dict[str, Any]], folder: Path) -> None:
    if not rows:
        say("Nothing was measured.")
        return
    found = report.verdicts(rows)
    say(report.table(rows))
    for one in found:
        word = "holds" if one["holds"] else "FAILS"
        place = f"{one['set']}, {one['num_each']} a class"
        say(f"{word}: {place}: {one['what']}: {one['points']:+.2f} points {one['interval']}")
    document = {"cells": rows, "verdicts": found}
    (folder / "quality.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "quality.svg").write_text(report.picture(rows))
    say(f"written: {folder}/quality.json and quality.svg")
    if not all(one["holds"] for one in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
