"""Kind `train`: hand the run to the warm trainer, pass on what it reports, heed every wish."""

import signal
import time

from core.logs import logger
from core.processes import oom_kills
from db.lifecycle.finish import Trained
from regraft.contract.errors import ErrorCode
from worker.engine.messages import (
    CheckpointReport,
    Done,
    EventReport,
    Failed,
    FromTrainer,
    MetricsReport,
    Paused,
    Produced,
    ProgressReport,
    Run,
)
from worker.engine.runspec import RunSpec
from worker.line_process import ProcessEndedError
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.checkpoints import Keeper
from worker.supervisor.materialise import run_spec
from worker.supervisor.outcome import InterruptedRunError, Outcome
from worker.supervisor.publish import ProducedError, publish
from worker.supervisor.requests import Requests

_TICK_SECONDS = 0.2
_STORE_SECONDS = 0.01
_log = logger(__name__)


def train(attempt: Attempt) -> Outcome:
    """Run one training to its end; the trainer stays warm unless it may be in a bad state."""
    spec = run_spec(attempt)
    return _Training(attempt, spec).run()


class _Training:
    """The conversation with the trainer about one run."""

    def __init__(self, attempt: Attempt, spec: RunSpec) -> None:
        self._attempt = attempt
        self._spec = spec
        self._trainer = attempt.station.trainer.take()
        self._produced: Produced | None = None
        self._requests = Requests(attempt, self._trainer)
        self._keeper = Keeper(attempt)
        self._heard = time.monotonic()
        self._oom_kills = oom_kills()

    def run(self) -> Outcome:
        self._trainer.send(Run(spec=self._spec).line())
        try:
            return self._until_ended()
        except BaseException:
            self._attempt.station.trainer.discard()
            raise
        finally:
            self._keeper.close()

    def _until_ended(self) -> Outcome:
        while True:
            self._heed()
            try:
                message = self._trainer.receive(_TICK_SECONDS)
            except ProcessEndedError as ended:
                self._await_checkpoints()
                return self._died(ended)
            if message is not None:
                self._heard = time.monotonic()
                if isinstance(message, Paused | Done | Failed):
                    self._await_checkpoints()
                ended_with = self._take(message)
                if ended_with is not None:
                    return ended_with

    def _await_checkpoints(self) -> None:
        """Let what was reported be stored, for as long as the attempt may go on."""
        while self._keeper.is_busy:
            self._heed()
            time.sleep(_STORE_SECONDS)

    def _heed(self) -> None:
        """Follow wishes and limits; raise where the trainer must be killed for them."""
        attempt, timings = self._attempt, self._attempt.station.settings.timings
        found = attempt.interruption()
        if found is not None:
            raise InterruptedRunError(found)
        self._requests.follow()
        if time.monotonic() - self._heard > timings.stall:
            message = f"The trainer said nothing for {timings.stall:g} seconds."
            raise InterruptedRunError(attempt.lost(ErrorCode.STALLED, message))

    def _take(self, message: FromTrainer) -> Outcome | None:
        """Pass one message on; return the outcome if it was the last."""
        heart = self._attempt.heart
        match message:
            case ProgressReport():
                heart.progress(message.progress)
            case EventReport():
                heart.note(message.level, message.message, message.data)
            case MetricsReport():
                heart.metrics(message.step, message.values)
            case CheckpointReport():
                self._keeper.keep(message)
            case Produced():
                self._produced = message
            case Paused():
                return self._requests.ending or outcome.released(self._attempt.claim)
            case Done():
                return self._done(message)
            case Failed():
                return self._failed(message)
            case _:
                pass
        return None

    def _done(self, done: Done) -> Outcome:
        attempt, spec = self._attempt, self._spec.spec
        if self._requests.is_cancelled:
            return outcome.cancelled(attempt.claim)
        try:
            files = publish(attempt, self._produced or Produced(blobs=[], files=[]))
        except ProducedError as error:
            _log.exception("trainer's files refused")
            attempt.station.trainer.discard()
            message = f"The trainer's files are not what it said: {error}."
            return outcome.failed(attempt.claim, ErrorCode.INTERNAL, message)
        result = Trained(
            backbone=done.backbone,
            strategy=str(done.lineage.get("strategy", spec.strategy.type)),
            labels=done.labels,
            metrics=done.metrics.model_dump(mode="json"),
            transfer=done.transfer.model_dump(mode="json"),
            lineage=done.lineage,
            num_images=done.num_images,
            files=files,
        )
        return outcome.trained(attempt.claim, result)

    def _failed(self, failed: Failed) -> Outcome:
        attempt, ending = self._attempt, self._requests.ending
        if ending is not None and (failed.code is None or self._requests.is_cancelled):
            return ending
        if failed.code is ErrorCode.TRANSIENT:
            return outcome.retried(attempt.claim, attempt.station.settings, failed.message)
        if failed.code in {None, ErrorCode.OUT_OF_MEMORY, ErrorCode.TRAINER_FAILED}:
            attempt.station.trainer.discard()
        code = failed.code or ErrorCode.TRAINER_FAILED
        return outcome.failed(attempt.claim, code, failed.message, failed.param)

    def _died(self, ended: ProcessEndedError) -> Outcome:
        self._attempt.station.trainer.discard()
        if self._requests.ending is not None:
            return self._requests.ending
        if ended.code == -signal.SIGKILL and oom_kills() > self._oom_kills:
            message = "The system ran out of memory and killed the trainer."
            return self._attempt.lost(ErrorCode.OUT_OF_MEMORY, message)
        message = f"The trainer died ({ended.how})."
        return self._attempt.lost(ErrorCode.WORKER_LOST, message)
