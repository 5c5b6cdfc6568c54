"""The warm trainer: how soon its second job on a backbone begins to compute.

The clock runs from the line that hands the run over to the moment before the first new photo
passes the backbone, when the trainer says which features it has found. Prints one JSON line.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.speed import networks
from benchmarks.speed.case import Options, main
from benchmarks.speed.ours import grown, spec_of
from worker.engine.messages import Done, EventReport, Failed, FromTrainer, Run, from_trainer
from worker.line_process import LineProcess

_COMMAND = (sys.executable, "-m", "worker.engine", "serve")
_TIMEOUT = 600.0


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield jobs with a few new photos each, after a first one; EfficientNet-Lite0 alone.

    ResNet-18's drawn weights are known to this process and not to the trainer.
    """
    if options.backbone == networks.DRAWN:
        raise ValueError("the trainer knows published weights only")
    trainer: LineProcess[FromTrainer] = LineProcess(_COMMAND, from_trainer.validate_json)
    try:
        _seconds(trainer, options, options.photos)
        total = sum(1 for _ in options.photos.rglob("*.jpg"))
        for number in range(options.repeats):
            yield {"seconds": _seconds(trainer, options, grown(options, number, total))}
    finally:
        trainer.kill()


def _seconds(trainer: LineProcess[FromTrainer], options: Options, data: Path) -> float:
    """Run a job to its end; return the seconds until it began to compute."""
    shutil.rmtree(options.work / "workspace", ignore_errors=True)
    spec = spec_of(options, data, options.work / "cache", "linear_probe")
    began = 0.0
    started = time.perf_counter()
    trainer.send(Run(spec=spec).line())
    while True:
        message = trainer.receive(_TIMEOUT)
        if isinstance(message, EventReport) and "computed before" in message.message:
            began = time.perf_counter() - started
        if message is None or isinstance(message, Failed):
            raise RuntimeError(f"the trainer did not end well: {message}")
        if isinstance(message, Done):
            return round(began, 4)


if __name__ == "__main__":
    main(measure)
