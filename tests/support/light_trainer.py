"""A trainer that speaks the real protocol and trains nothing: `-m tests.support.light_trainer`.

The job's seed says how it behaves (`Behaviour`), its epochs how many milliseconds it takes.
"""

import hashlib
import json
import os
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from enum import IntEnum

from core.processes import die_with_parent
from regraft.contract.errors import ErrorCode
from regraft.contract.metrics import JobMetrics, Transfer
from regraft.contract.resources import Progress
from worker.engine.batch_rows import read_asked
from worker.engine.files import write_durably
from worker.engine.messages import (
    Answered,
    Batch,
    BlobRef,
    Cancel,
    CheckpointReport,
    Done,
    EventReport,
    Failed,
    Message,
    MetricsReport,
    PartReport,
    Pause,
    Paused,
    Produced,
    ProducedFile,
    ProgressReport,
    Ready,
    Run,
    Segment,
    ToTrainer,
    to_trainer,
)
from worker.engine.runspec import BatchRun, RunSpec
from worker.line_process import PARENT_VARIABLE

COMMAND = (sys.executable, "-m", "tests.support.light_trainer")
_TICK_SECONDS = 0.05
_CHECKPOINT_SECONDS = 0.25
_STORE_SECONDS = 0.03
_BALLAST_BYTES = 24 * 1024 * 1024
_MOST_BYTES = 8 * _BALLAST_BYTES


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
    KILL_SUPERVISOR = 9
    DIE_AFTER_CHECKPOINT = 11
    LIE_ABOUT_CHECKPOINT = 12
    DIE_WHILE_SAVING = 13
    KILL_SUPERVISOR_WHILE_STORING = 14
    FILL_MEMORY = 15


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
        elif isinstance(message, Batch):
            _answer(message.spec, lines)


def _read(lines: "queue.Queue[ToTrainer]") -> None:
    for line in sys.stdin:
        lines.put(to_trainer.validate_json(line))
    os._exit(0)


def _run(spec: RunSpec, lines: "queue.Queue[ToTrainer]") -> None:
    behaviour = Behaviour(spec.spec.seed)
    if behaviour is Behaviour.DIE:
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour is Behaviour.KILL_SUPERVISOR:
        os.kill(os.getppid(), signal.SIGKILL)
    if behaviour is Behaviour.HANG:
        time.sleep(3600)
    if behaviour is Behaviour.FILL_MEMORY:
        _fill_memory()
    if behaviour is Behaviour.SHOW_ENVIRONMENT:
        _say(EventReport(message="environment", data=dict(os.environ)))
    if behaviour is Behaviour.TALK_NONSENSE:
        sys.stdout.write("Epoch 1: loss nan\n{}\n")
    if behaviour is Behaviour.FAIL_FOR_NOW:
        _say(Failed(code=ErrorCode.TRANSIENT, message="The disk is busy."))
    elif behaviour is Behaviour.RUN_OUT_OF_MEMORY:
        _say(Failed(code=ErrorCode.OUT_OF_MEMORY, message="Batch 1 does not fit."))
    else:
        _train(spec, lines, behaviour)


def _answer(spec: BatchRun, lines: "queue.Queue[ToTrainer]") -> None:
    """Write a line for each row; `top` says how many seconds go by before each later part."""
    asked = read_asked(spec.rows)
    parts = -(-len(asked) // spec.rows_per_part)
    for seq in range(spec.parts_done, parts):
        if seq > spec.parts_done and spec.top > 1:
            try:
                message = lines.get(timeout=spec.top)
            except queue.Empty:
                pass
            else:
                cancelled = isinstance(message, Cancel)
                _say(Failed(code=None, message="Cancelled.") if cancelled else Paused())
                return
        rows = asked[seq * spec.rows_per_part : (seq + 1) * spec.rows_per_part]
        data = "".join(f"{row.image} in run {spec.run}\n" for row in rows).encode()
        path = spec.workspace / f"part-{seq}"
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        counts = {"num_rows": len(rows), "num_errors": 0}
        _say(PartReport(path=path, sha256=sha256, size=len(data), seq=seq, **counts))
    _say(Answered(num_parts=parts))


def _train(spec: RunSpec, lines: "queue.Queue[ToTrainer]", behaviour: Behaviour) -> None:
    seconds = 60.0 if behaviour is Behaviour.TRAIN_LONG else _seconds(spec)
    ended = _Work(spec, lines, behaviour, seconds).run()
    if isinstance(ended, Cancel):
        _say(Failed(code=None, message="Cancelled."))
    elif isinstance(ended, Pause):
        _say(Paused())
    else:
        _deliver(spec, lie=behaviour is Behaviour.LIE)


def _seconds(spec: RunSpec) -> float:
    epochs = spec.spec.hyperparameters.epochs
    return 0.0 if epochs == "auto" else epochs / 1000


class _Work:
    """Waiting in place of training; a checkpoint says how long this job has waited so far."""

    def __init__(
        self,
        spec: RunSpec,
        lines: "queue.Queue[ToTrainer]",
        behaviour: Behaviour,
        seconds: float,
    ) -> None:
        self._spec, self._lines, self._behaviour = spec, lines, behaviour
        self._seconds = seconds
        self._before, self._step = _resumed(spec)
        self._is_second = False
        self._began = self._saved = time.monotonic()

    def run(self) -> ToTrainer | None:
        """Report and wait; return what ended it, None for the end of the work."""
        while (spent := self._spent()) < self._seconds:
            fraction = spent / self._seconds
            _say(ProgressReport(progress=Progress(phase="training", fraction=fraction)))
            _say(MetricsReport(step=self._step, values={"loss": 1 - fraction}))
            self._step += 1
            if time.monotonic() - self._saved > _CHECKPOINT_SECONDS:
                self._save()
            try:
                message = self._lines.get(timeout=min(_TICK_SECONDS, self._seconds - spent))
            except queue.Empty:
                continue
            if isinstance(message, Pause):
                self._save()
            return message
        return None

    def _spent(self) -> float:
        return self._before + time.monotonic() - self._began

    def _save(self) -> None:
        self._saved = time.monotonic()
        data = json.dumps({"spent": self._spent(), "step": self._step}).encode()
        first_run = self._spec.resume_from is None
        # The first checkpoint is small and whole; a fault hits the second one.
        fault = self._behaviour if first_run and self._is_second else None
        if fault is Behaviour.KILL_SUPERVISOR_WHILE_STORING:
            data += b" " * _BALLAST_BYTES
        path = self._spec.workspace / f"checkpoint-{self._step}.json"
        write_durably(path, _parts(data, dies=fault is Behaviour.DIE_WHILE_SAVING))
        lies = self._behaviour is Behaviour.LIE_ABOUT_CHECKPOINT
        sha256 = hashlib.sha256(b"else" if lies else data).hexdigest()
        report = CheckpointReport(path=path, sha256=sha256, size=len(data), step=self._step)
        _say(report)
        self._is_second = True
        if self._behaviour is Behaviour.DIE_AFTER_CHECKPOINT:
            time.sleep(_CHECKPOINT_SECONDS)
            os.kill(os.getpid(), signal.SIGKILL)
        if fault is Behaviour.KILL_SUPERVISOR_WHILE_STORING:
            time.sleep(random.uniform(0, _STORE_SECONDS))
            os.kill(os.getppid(), signal.SIGKILL)


def _fill_memory() -> None:
    """Take memory until the kernel minds; where it does not, die as if it had."""
    _say(EventReport(message="filled", data={"bytes": len(b"x" * _MOST_BYTES)}))
    os.kill(os.getpid(), signal.SIGKILL)


def _parts(data: bytes, *, dies: bool) -> Iterator[bytes]:
    """Yield a checkpoint's bytes; where the process is to die, after the first half."""
    yield data[: len(data) // 2]
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    yield data[len(data) // 2 :]


def _resumed(spec: RunSpec) -> tuple[float, int]:
    """Return how long and how many steps earlier attempts have worked."""
    if spec.resume_from is None:
        return 0.0, 0
    saved = json.loads(spec.resume_from.read_bytes())
    _say(EventReport(message="Resumed.", data={"step": saved["step"]}))
    return saved["spent"], saved["step"]


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
            backbone=spec.backbones[0],
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
