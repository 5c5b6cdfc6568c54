"""A trainer that speaks the real protocol and trains nothing: `-m tests.support.light_trainer`.

The job's seed says how it behaves (`Behaviour`), its epochs how many milliseconds it takes.
"""

import hashlib
import os
import queue
import signal
import sys
import threading
import time
from enum import IntEnum

from core.processes import die_with_parent
from regraft.contract.errors import ErrorCode
from regraft.contract.metrics import JobMetrics, Transfer
from regraft.contract.resources import Progress
from worker.engine.messages import (
    BlobRef,
    Cancel,
    Done,
    EventReport,
    Failed,
    Message,
    MetricsReport,
    Produced,
    ProducedFile,
    ProgressReport,
    Ready,
    Run,
    Segment,
    Stop,
    ToTrainer,
    to_trainer,
)
from worker.engine.runspec import RunSpec
from worker.line_process import PARENT_VARIABLE

COMMAND = (sys.executable, "-m", "tests.support.light_trainer")
_TICK_SECONDS = 0.05


class Behaviour(IntEnum):
    """What a job's seed makes this trainer do."""

    TRAIN = 0
    DIE = 1
    HANG = 2
    SHOW_ENVIRONMENT = 3
    LIE = 4
    TRAIN_LONG = 5
    FAIL_FOR_NOW = 6
    RUN_OUT_OF_MEMORY = 7
    TALK_NONSENSE = 8


def main() -> None:
    """Serve runs until standard input closes."""
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    lines: queue.Queue[ToTrainer] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    _say(Ready())
    while True:
        message = lines.get()
        if isinstance(message, Run):
            _run(message.spec, lines)


def _read(lines: "queue.Queue[ToTrainer]") -> None:
    for line in sys.stdin:
        lines.put(to_trainer.validate_json(line))
    os._exit(0)


def _run(spec: RunSpec, lines: "queue.Queue[ToTrainer]") -> None:
    behaviour = Behaviour(spec.spec.seed)
    if behaviour is Behaviour.DIE:
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour is Behaviour.HANG:
        time.sleep(3600)
    if behaviour is Behaviour.SHOW_ENVIRONMENT:
        _say(EventReport(message="environment", data=dict(os.environ)))
    if behaviour is Behaviour.TALK_NONSENSE:
        sys.stdout.write("Epoch 1: loss nan\n{}\n")
    if behaviour is Behaviour.FAIL_FOR_NOW:
        _say(Failed(code=ErrorCode.TRANSIENT, message="The disk is busy."))
    elif behaviour is Behaviour.RUN_OUT_OF_MEMORY:
        _say(Failed(code=ErrorCode.OUT_OF_MEMORY, message="Batch 1 does not fit."))
    elif _work(spec, lines, 60.0 if behaviour is Behaviour.TRAIN_LONG else _seconds(spec)):
        _deliver(spec, lie=behaviour is Behaviour.LIE)
    else:
        _say(Failed(code=None, message="Cancelled."))


def _seconds(spec: RunSpec) -> float:
    epochs = spec.spec.hyperparameters.epochs
    return 0.0 if epochs == "auto" else epochs / 1000


def _work(spec: RunSpec, lines: "queue.Queue[ToTrainer]", seconds: float) -> bool:
    """Report and wait; return False once cancelled, True at the end or when told to stop."""
    began = time.monotonic()
    step = 0
    while (spent := time.monotonic() - began) < seconds:
        fraction = spent / seconds
        _say(ProgressReport(progress=Progress(phase="training", fraction=fraction)))
        _say(MetricsReport(step=step, values={"loss": 1 - fraction}))
        step += 1
        try:
            message = lines.get(timeout=min(_TICK_SECONDS, seconds - spent))
        except queue.Empty:
            continue
        if isinstance(message, Cancel):
            return False
        if isinstance(message, Stop):
            return True
    return True


def _deliver(spec: RunSpec, *, lie: bool) -> None:
    data = spec.run.encode() * 10
    sha256 = hashlib.sha256(data).hexdigest()
    path = spec.workspace / "model.bin"
    path.write_bytes(b"something else" if lie else data)
    half = len(data) // 2
    parts = [
        Segment(sha256=sha256, shared=False, offset=0, length=half),
        Segment(sha256=sha256, shared=False, offset=half, length=len(data) - half),
    ]
    file = ProducedFile(name="model.onnx", size=len(data), sha256=sha256, segments=parts)
    _say(Produced(blobs=[BlobRef(path=path, sha256=sha256, size=len(data))], files=[file]))
    _say(
        Done(
            labels=["mug", "plate"],
            metrics=JobMetrics(),
            transfer=Transfer(explanation="Nothing was trained."),
            lineage={"run": spec.run},
            num_images=2,
        )
    )


def _say(message: Message) -> None:
    sys.stdout.write(message.line())
    sys.stdout.flush()


if __name__ == "__main__":
    main()
