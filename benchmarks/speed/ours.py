"""A job of ours in a warm process: from the run's start to files whose parity is proven.

`--more` is what is measured: `first` on empty caches, `again` on full ones, `grown` with some
images of it new, or the type of a fine-tuning strategy. Prints one JSON line.
"""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed import networks
from benchmarks.speed.case import Options, main
from benchmarks.speed.images import photos
from regraft.contract.status import Phase
from worker.engine.context import Context
from worker.engine.runner import run
from worker.engine.runspec import DataSource, RunSpec

_DATASET = "ds_01k00000000000000000000000"
_WARM_UP = 20  # photos of the job that warms the process up


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the job as many times as asked for, on caches as `--more` says."""
    networks.weights(options.weights)
    few = photos(options.work / "few", _WARM_UP, first=10**6)
    _job(options, few, options.work / "warm-cache", "linear_probe")
    if options.more in {"first", "again", "grown"}:
        yield from _heads(options)
        return
    for number in range(options.repeats):
        clock = _Clock()
        with options.timed() as done:
            _job(options, options.photos, options.work / f"cache{number}", options.more, clock)
        yield done | {"training_seconds": round(clock.training, 4)}


def _heads(options: Options) -> Iterator[dict[str, Any]]:
    cache = options.work / "cache"
    total = sum(1 for _ in options.photos.rglob("*.jpg"))
    if options.more != "first":
        _job(options, options.photos, cache, "linear_probe")
    for number in range(options.repeats):
        data = options.photos
        if options.more == "first":
            shutil.rmtree(cache, ignore_errors=True)
        if options.more == "grown":
            data = grown(options, number, total)
        clock = _Clock()
        with options.timed() as done:
            count = _job(options, data, cache, "linear_probe", clock)
        yield done | {"photos": count, "batches": clock.batches}


def grown(options: Options, number: int, total: int) -> Path:
    """Return the photos again with every twentieth one replaced by one never seen."""
    folder = options.work / f"grown{number}"
    shutil.copytree(options.photos, folder)
    for path in sorted(folder.rglob("*.jpg"))[::20]:
        path.unlink()
    return photos(folder, total // 20, first=10**7 + number * total)


class _Clock(Context):
    """Measures from the first step of training to the end; counts batches through the backbone."""

    def __init__(self) -> None:
        self._began: float | None = None
        self.training = 0.0
        self.batches = 0

    def metrics(self, step: int, **values: float) -> None:
        """Note that a batch has passed the backbone."""
        super().metrics(step, **values)
        self.batches += "images_per_second" in values

    def progress(
        self, phase: Phase, fraction: float, done: int | None = None, total: int | None = None
    ) -> None:
        """Note when the phase of training begins and ends."""
        super().progress(phase, fraction, done, total)
        if phase == "training" and self._began is None:
            self._began = time.perf_counter()
        if phase == "evaluating" and self._began is not None and not self.training:
            self.training = time.perf_counter() - self._began


def _job(
    options: Options, data: Path, cache: Path, strategy: str, context: Context | None = None
) -> int:
    """Run a job to the files of its model, and return how many photos it had."""
    shutil.rmtree(options.work / "workspace", ignore_errors=True)
    spec = spec_of(options, data, cache, strategy)
    return run(spec, context or Context()).done.num_images


def spec_of(options: Options, data: Path, cache: Path, strategy: str) -> RunSpec:
    """Return a job with all defaults but the epochs of fine-tuning, which a loop must share."""
    asked: dict[str, Any] = {"type": strategy}
    settings: dict[str, Any] = {}
    if strategy != "linear_probe":
        settings = {"epochs": options.epochs, "batch_size": 32, "augmentation": "none"}
    if strategy == "partial_finetune":
        asked["freeze_until"] = networks.LAST_FROZEN[options.backbone]
    return RunSpec.model_validate(
        {
            "run": "bench",
            "spec": {
                "dataset": _DATASET,
                "base": {"backbone": options.backbone},
                "strategy": asked,
                "hyperparameters": settings,
                "guard": "off",
            },
            "data": DataSource(folder=data),
            "workspace": options.work / "workspace",
            "cache": cache,
            "shared_cache": options.shared,
            "weights_dir": options.weights,
            "num_threads": options.threads,
        }
    )


if __name__ == "__main__":
    main(measure)
