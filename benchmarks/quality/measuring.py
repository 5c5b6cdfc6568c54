"""Measure cells in processes of one thread each: small steps share threads badly.

A module of its own, since a new process cannot import what `__main__` holds.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch

from benchmarks.quality.cells import TABLES, Cell, Prepared, Table, measure, prepared
from benchmarks.quality.sets import ImageSet, image_sets
from regraft.contract.strategies import AnyStrategy
from worker.engine.backbone import prepared as backbone_of
from worker.engine.failures import EngineError

_sets: dict[str, Prepared] = {}  # of this process, see `opened`

Row = dict[str, Any]


class Todo(NamedTuple):
    """A cell with the options to measure it by.

    `is_slow` where a backbone is trained; `is_guarded` where the guard is asked.
    """

    cell: Cell
    options: AnyStrategy
    is_slow: bool
    is_guarded: bool


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def opened(options: argparse.Namespace) -> list[tuple[Table, ImageSet]]:
    """Read the sets into this process, with their features; return them by table."""
    torch.set_num_threads(1)
    backbone = backbone_of(options.backbone, None)
    found = []
    for images in image_sets(options.folder / "images", say):
        if options.only not in {None, images.name}:
            continue
        for name, table in TABLES.items():
            if options.table in {None, name}:
                given = prepared(images, table, backbone, options.folder)
                _sets[given.images.name] = given
                found.append((table, given.images))
    return found


def measured(todo: list[Todo], ends: float, options: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows of `todo` as they are measured; begin no more where the time is up."""
    running: set[Future[Row | None]] = set()
    context = get_context("spawn")
    count = min(options.processes, len(todo))
    if not count:
        return
    with ProcessPoolExecutor(count, context, opened, (options,)) as pool:
        for one in todo:
            if time.monotonic() > ends:
                break
            running.add(pool.submit(_row, one))
            if len(running) >= count:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from _rows(done)
        yield from _rows(wait(running).done)


def _rows(done: set[Future[Row | None]]) -> list[Row]:
    return [row for one in done if (row := one.result()) is not None]


def _row(one: Todo) -> Row | None:
    """Measure one cell in a process of the pool."""
    cell = one.cell
    try:
        return measure(cell, one.options, _sets[cell.set_name], is_guarded=one.is_guarded)
    except EngineError as error:
        say(f"{cell}: {error.message}")
        return {**cell._asdict(), "accuracy": None, "error": error.message}
