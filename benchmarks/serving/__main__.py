"""`python -m benchmarks.serving`: measure, print one JSON document; see `make bench-serving`."""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from benchmarks.serving import load, search
from benchmarks.serving.stage import (
    NUM_LABELS,
    Backbone,
    Stage,
    real_backbone,
    small_backbone,
    stage,
)
from tests.support.served import files_of, random_head

_ROOT = Path(__file__).parents[2]
_SAMPLES = _ROOT / "samples" / "fashion-mnist" / "target-test"
_NUM_PHOTOS, _SIDE = 32, 400
_CLIENTS = 8


class Plan(NamedTuple):
    """How much is measured: merchants, seconds of a case, repeats, clients, sessions, vectors."""

    merchants: int
    seconds: float
    repeats: int
    levels: tuple[int, ...]
    sessions: int
    vectors: tuple[int, ...]


FULL = Plan(1000, 10.0, 5, (1, 2, 4, 8, 16, 32), 20, (10_000, 100_000, 1_000_000))
SHORT = Plan(12, 0.5, 1, (1, 4), 3, (500,))


def measure(home: Path, backbone: Backbone, plan: Plan) -> dict[str, Any]:
    """Return what is measured of the serving process, and of one session for each merchant."""
    photos = _photos()
    with stage(home, backbone, plan.merchants) as running:
        shared = _shared(running, photos, plan)
    apart = _sessions(home, backbone, photos[0], plan)
    extrapolated = apart["bytes_with_one"] + (plan.merchants - 1) * apart["bytes_for_each_more"]
    return {
        "backbone": backbone.name,
        "cores": os.cpu_count(),
        "merchants": plan.merchants,
        "labels": NUM_LABELS,
        "photo": f"JPEG {_SIDE} x {_SIDE}, {len(photos[0])} bytes",
        **shared,
        "session_for_each": apart,
        "session_for_each_bytes_extrapolated": extrapolated,
        "bytes_saved": extrapolated - shared["bytes_with_all"],
        "search": search.measure(plan.vectors),
    }


def _shared(running: Stage, photos: Sequence[bytes], plan: Plan) -> dict[str, Any]:
    one, everyone = running.models[:1], running.models
    load.run(running, one, photos, max(plan.levels), plan.seconds)  # as much memory as one needs
    with_one = load.memory(running.pid)
    load.once(running, everyone, photos[0])
    pairs = []
    for _ in range(plan.repeats):
        single, all_ = (
            load.run(running, models, photos, _CLIENTS, plan.seconds) for models in (one, everyone)
        )
        pairs.append((single.photos_per_second, all_.photos_per_second))
    levels = [
        load.run(running, everyone, photos, clients, plan.seconds)._asdict()
        for clients in plan.levels
    ]
    with_all = load.memory(running.pid)
    ratios = [all_ / single for single, all_ in pairs if single]
    return {
        "bytes_with_one": with_one,
        "bytes_with_all": with_all,
        "memory_ratio": round(with_all / with_one, 3),
        "photos_per_second": {"one": [pair[0] for pair in pairs], "all": [p[1] for p in pairs]},
        "throughput_ratio": round(statistics.median(ratios), 3) if ratios else None,
        "load": levels,
    }


def _sessions(home: Path, backbone: Backbone, photo: bytes, plan: Plan) -> dict[str, Any]:
    folder = home / "apart"
    folder.mkdir()
    labels = [f"label {number}" for number in range(NUM_LABELS)]
    head = random_head(NUM_LABELS, backbone.num_features, 0)
    files = files_of(head, labels, [0.5] * NUM_LABELS, backbone.preprocess)
    for name, content in {**files, "photo": photo}.items():
        whole = backbone.content + content if name == "model.onnx" else content
        (folder / name).write_bytes(whole)
    command = [sys.executable, "-m", "benchmarks.serving.sessions", str(folder)]
    done = subprocess.run(
        [*command, str(plan.sessions), str(plan.seconds)],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _photos() -> list[bytes]:
    """Return sample photos at the size of a shop's."""
    found = []
    for path in sorted(_SAMPLES.rglob("*.png"))[:_NUM_PHOTOS]:
        out = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").resize((_SIDE, _SIDE)).save(out, "JPEG", quality=90)
        found.append(out.getvalue())
    return found


def main() -> None:
    """Measure what the options ask for, and print it."""
    parser = argparse.ArgumentParser(description="Measure serving.")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--merchants", type=int, default=FULL.merchants)
    parser.add_argument("--seconds", type=float, default=FULL.seconds, help="of each case")
    parser.add_argument("--short", action="store_true", help="try the measurement itself")
    parser.add_argument("--search", type=int, nargs="+", metavar="N", help="only sets of N vectors")
    options = parser.parse_args()
    if options.search:
        alone = {"cores": os.cpu_count(), "search": search.measure(tuple(options.search))}
        sys.stdout.write(json.dumps(alone, indent=1) + "\n")
        return
    plan = FULL._replace(merchants=options.merchants, seconds=options.seconds)
    with tempfile.TemporaryDirectory(prefix="regraft-serving-") as folder:
        home = Path(folder)
        if options.short:
            found = measure(home, small_backbone(), SHORT)
        else:
            found = measure(home, real_backbone(options.backbone, home / "shared"), plan)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
