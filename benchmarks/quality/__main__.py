"""`python -m benchmarks.quality`: measure what is missing, print tables and verdicts.

Every cell is appended to `cells.jsonl` as soon as it is measured, and not measured again.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from benchmarks.quality import report
from benchmarks.quality.cells import Cell, Prepared, measure, prepared
from benchmarks.quality.sets import image_sets
from regraft.contract.strategies import AnyStrategy, FineTuning
from worker.engine.backbone import prepared as backbone_of
from worker.engine.failures import EngineError
from worker.engine.strategies import STRATEGIES

_NUM_EACH = (1, 3, 5, 10, 20, 50, 100)
_FEW, _MANY_DRAWS, _DRAWS = 5, 10, 5  # decisions: at least 10 draws up to 5 images, 5 above
_ANY: TypeAdapter[AnyStrategy] = TypeAdapter(AnyStrategy)


def main() -> None:
    """Measure until all cells are there or the time is up, then report what there is."""
    options = _options()
    torch.set_num_threads(options.threads)
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    cells = folder / "cells.jsonl"
    known = _known(cells)
    backbone = backbone_of(options.backbone, None)
    ends = time.monotonic() + options.seconds
    left = 0
    for images in image_sets(folder / "images", _say):
        if options.only not in {None, images.name}:
            continue
        given = prepared(images, backbone, folder)
        for cell, strategy in _plan(given, options):
            if cell in known:
                continue
            if time.monotonic() > ends:
                left += 1
                continue
            row = _measured(cell, strategy, given)
            if row is not None:
                known[cell] = row
                with cells.open("a") as out:
                    out.write(json.dumps(row) + "\n")
    _report([row for row in known.values() if row.get("accuracy") is not None], folder)
    if left:
        _say(f"{left} cells are left; run again to go on from here, or raise --seconds.")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".regraft/bench-quality"))
    parser.add_argument("--seconds", type=float, default=3600, help="when to begin no new cell")
    parser.add_argument("--only", help="the name of one set")
    parser.add_argument("--draws", type=int, help="of every point, instead of 10 and 5")
    parser.add_argument("--tuned-up-to", type=int, default=5, help="images a class: fine-tuning")
    parser.add_argument("--tuned-draws", type=int, default=3, help="fine-tuning takes minutes")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def _known(path: Path) -> dict[Cell, dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return {Cell(*(row[field] for field in Cell._fields)): row for row in rows}


def _plan(given: Prepared, options: argparse.Namespace) -> Iterator[tuple[Cell, AnyStrategy]]:
    """Yield the cells of a set, the cheap ones first: fine-tuning only at few images."""
    images = given.images
    shared = {one.label for one in images.pool} & {one.label for one in images.source}
    # The planner is measured by its heads; what fine-tuning adds, its own candidates show.
    settings = {"auto": {"fine_tuning": "off"}}
    strategies = [
        _ANY.validate_python({"type": name, **settings.get(name, {})}) for name in STRATEGIES
    ]
    strategies.sort(key=lambda one: isinstance(one, FineTuning))
    for strategy in strategies:
        is_tuned = isinstance(strategy, FineTuning)
        if strategy.needs_source and not images.source:
            continue
        if strategy.needs_shared_labels and not shared:
            continue
        for num_each in _NUM_EACH:
            if is_tuned and num_each > options.tuned_up_to:
                continue
            draws = options.draws or (_MANY_DRAWS if num_each <= _FEW else _DRAWS)
            for draw in range(min(draws, options.tuned_draws) if is_tuned else draws):
                yield Cell(images.name, num_each, draw, strategy.type), strategy


def _measured(cell: Cell, strategy: AnyStrategy, given: Prepared) -> dict[str, Any] | None:
    try:
        return measure(cell, strategy, given)
    except EngineError as error:
        _say(f"{cell}: {error.message}")
        return {**cell._asdict(), "accuracy": None, "error": error.message}


def _report(rows: list[dict[str, Any]], folder: Path) -> None:
    if not rows:
        _say("Nothing was measured.")
        return
    found = report.verdicts(rows)
    _say(report.table(rows))
    for one in found:
        word = "holds" if one["holds"] else "FAILS"
        place = f"{one['set']}, {one['num_each']} a class"
        _say(f"{word}: {place}: {one['what']}: {one['points']:+.2f} points {one['interval']}")
    document = {"cells": rows, "verdicts": found}
    (folder / "quality.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "quality.svg").write_text(report.picture(rows))
    _say(f"written: {folder}/quality.json and quality.svg")
    if not all(one["holds"] for one in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
