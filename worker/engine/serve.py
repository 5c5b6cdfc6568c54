"""`python -m worker.engine serve`: the warm trainer, driven by JSON lines over its pipes.

Imports no torch itself, so that the safeguards stand before anything slow is loaded.
"""

import contextlib
import ctypes
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TextIO

from pydantic import ValidationError

from regraft.contract.errors import ErrorCode
from regraft.contract.resources import Progress
from regraft.contract.status import EventLevel, Phase
from worker.engine.context import Context, RunCancelledError, RunPausedError
from worker.engine.messages import (
    Batch,
    Cancel,
    CheckpointReport,
    EventReport,
    Failed,
    FeaturesReport,
    FeaturesWanted,
    Message,
    MetricsReport,
    PartReport,
    Pause,
    Paused,
    ProgressReport,
    Ready,
    Run,
    Staged,
    Stop,
    to_trainer,
)
from worker.engine.runspec import Surroundings

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 0.1


class Wishes:
    """What the supervisor wishes for one run; set by the reader, read between two steps."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self.stop = threading.Event()
        self.pause = threading.Event()
        self.staged: queue.Queue[int] = queue.Queue()


class Order:
    """A run to carry out, and the wishes about it; `run` is null where the line was not one."""

    def __init__(self, run: Run | Batch | None, fault: str = "") -> None:
        self.run = run
        self.fault = fault
        self.wishes = Wishes()


class Channel:
    """The private way out: one message a line, whole lines only."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one message."""
        with self._lock:
            self._out.write(message.line())
            self._out.flush()


class Reporter(Context):
    """Sends what the engine reports, and answers from the run's wishes."""

    def __init__(self, channel: Channel, wishes: Wishes, *, stages_features: bool) -> None:
        self._channel = channel
        self._wishes = wishes
        self._stages_features = stages_features

    def progress(
        self, phase: Phase, fraction: float, done: int | None = None, total: int | None = None
    ) -> None:
        """Send where the run is."""
        progress = Progress(phase=phase, fraction=fraction, steps_done=done, steps_total=total)
        self._channel.send(ProgressReport(progress=progress))

    def event(self, message: str, level: EventLevel = "info", **data: object) -> None:
        """Send a line for the job's history."""
        self._channel.send(EventReport(level=level, message=message, data=data))

    def metrics(self, step: int, **values: float) -> None:
        """Send values of named series."""
        self._channel.send(MetricsReport(step=step, values=values))

    def checkpoint(self, path: Path, sha256: str, size: int, step: int, epoch: int) -> None:
        """Send where a checkpoint lies."""
        report = CheckpointReport(path=path, sha256=sha256, size=size, step=step, epoch=epoch)
        self._channel.send(report)

    def part(self, path: Path, sha256: str, size: int, seq: int, counts: tuple[int, int]) -> None:
        """Send where a part of a batch lies."""
        rows, errors = counts
        report = PartReport(
            path=path, sha256=sha256, size=size, seq=seq, num_rows=rows, num_errors=errors
        )
        self._channel.send(report)

    def fetch_features(self, key: str) -> bool:
        """Ask for packs of a key and wait for the answer, heeding wishes meanwhile."""
        if not self._stages_features:
            return False
        self._channel.send(FeaturesWanted(key=key))
        while True:
            self.check()
            with contextlib.suppress(queue.Empty):
                return self._wishes.staged.get(timeout=_LOOK_SECONDS) > 0

    def features(self, key: str, backbone: str, packs: list[str]) -> None:
        """Send which packs are worth keeping."""
        self._channel.send(FeaturesReport(key=key, backbone=backbone, packs=packs))

    def should_cancel(self) -> bool:
        """Tell whether the supervisor sent `cancel`."""
        return self._wishes.cancel.is_set()

    def should_stop(self) -> bool:
        """Tell whether the supervisor sent `stop`."""
        return self._wishes.stop.is_set()

    def should_pause(self) -> bool:
        """Tell whether the supervisor sent `pause`."""
        return self._wishes.pause.is_set()


def main() -> int:
    """Serve runs until stdin closes."""
    _die_with_parent()
    channel = Channel(_private_stdout())
    orders: queue.Queue[Order] = queue.Queue()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()
    import_module("worker.engine.runner")
    channel.send(Ready())
    while True:
        _carry_out(orders.get(), channel)


def _die_with_parent() -> None:
    """Let the kernel end this process with the one that started it (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died in between
        os._exit(1)


def _private_stdout() -> TextIO:
    """Return the real stdout; what anything else prints goes to stderr from now on."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _read(orders: "queue.Queue[Order]") -> None:
    """Turn lines into orders and wishes; end the process where stdin ends."""
    current = Order(None)
    for line in sys.stdin:
        try:
            message = to_trainer.validate_json(line)
        except ValidationError as error:
            orders.put(Order(None, f"The trainer was sent a line it does not know: {error}"))
            continue
        match message:
            case Run() | Batch():
                current = Order(message)
                orders.put(current)
            case Cancel():
                current.wishes.cancel.set()
            case Stop():
                current.wishes.stop.set()
            case Pause():
                current.wishes.pause.set()
            case Staged():
                current.wishes.staged.put(message.packs)
    os._exit(0)


def _carry_out(order: Order, channel: Channel) -> None:
    """Do one run and say how it ended: what it made and that it is done, `paused`, or `failed`."""
    if order.run is None:
        channel.send(Failed(code=ErrorCode.TRAINER_FAILED, message=order.fault))
        return
    try:
        last = _carried_out(order.run, _reporter(order.run.spec, channel, order.wishes))
    except RunCancelledError:
        channel.send(Failed(code=None, message="The run was cancelled."))
    except RunPausedError:
        channel.send(Paused())
    except Exception as error:  # noqa: BLE001 - the boundary: every end is reported
        channel.send(_failure(error))
    else:
        for message in last:
            channel.send(message)


def _carried_out(run: Run | Batch, reporter: Reporter) -> Iterable[Message]:
    """Do one run and return what is left to say of it."""
    if isinstance(run, Batch):
        answered: Message = import_module("worker.engine.batch").run(run.spec, reporter)
        return [answered]
    result: tuple[Message, Message] = import_module("worker.engine.runner").run(run.spec, reporter)
    return result


def _reporter(spec: Surroundings, channel: Channel, wishes: Wishes) -> Reporter:
    return Reporter(channel, wishes, stages_features=spec.stages_features)


def _failure(error: Exception) -> Failed:
    """Return the message for an exception; its trace goes to stderr."""
    traceback.print_exception(error, file=sys.stderr)
    known = import_module("worker.engine.failures").as_engine_error(error)
    return Failed(code=known.code, message=known.message, param=known.param)
