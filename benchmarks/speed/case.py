"""What every measured process shares: its options, its clock, and the one JSON line it prints."""

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KIB = 1024


@dataclass(frozen=True)
class Options:
    """`photos` to work on, `work` that may be written to, `shared` what an installation keeps."""

    backbone: str
    photos: Path
    work: Path
    shared: Path
    weights: Path
    repeats: int
    epochs: int
    threads: int
    more: str

    @contextmanager
    def timed(self) -> Iterator[dict[str, Any]]:
        """Yield a row that has its `seconds` at the end, and those of processors that it used.

        The latter are of all its processes, and hardly change where others use the machine too.
        """
        row: dict[str, Any] = {}
        used, started = processor_seconds(), time.perf_counter()
        yield row
        row["seconds"] = round(time.perf_counter() - started, 4)
        row["processor_seconds"] = round(processor_seconds() - used, 4)


def processor_seconds() -> float:
    """Return what this process and its children, the ended ones too, have used (Linux)."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = sum(_used(child) for child in _children(os.getpid()))
    return time.process_time() + ended.ru_utime + ended.ru_stime + alive


def _children(process: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def _used(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it has just ended
        return 0.0
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


Measure = Callable[[Options], Iterator[dict[str, Any]]]


def main(measure: Measure) -> None:
    """Measure as the command line says, and print all rows with the peak of memory in MiB."""
    rows = list(measure(_options()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / _KIB
    found = {"rows": rows, "peak_mib": round(peak), "peak_child_mib": round(children)}
    sys.stdout.write(json.dumps(found) + "\n")


def _options() -> Options:
    parser = argparse.ArgumentParser()
    parser.add_argument("--backbone", required=True)
    for name in ("photos", "work", "shared", "weights"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("repeats", "epochs", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--more", default="")
    return Options(**vars(parser.parse_args()))
