"""The conversation with the warm trainer about one run, of whatever kind.

Passes on what the trainer reports and heeds every wish; what a run makes is its kind's own.
"""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from core.processes import kill_counter, oom_kills
from regraft.contract.errors import ErrorCode
from worker.engine.messages import (
    Answered,
    Done,
    EventReport,
    Failed,
    FeaturesReport,
    FeaturesWanted,
    FromTrainer,
    Message,
    MetricsReport,
    Paused,
    ProgressReport,
    Staged,
)
from worker.line_process import ProcessEndedError
from worker.supervisor import features, outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.keeper import Keeper
from worker.supervisor.outcome import InterruptedRunError, Outcome
from worker.supervisor.requests import Requests

_TICK_SECONDS = 0.2
_STORE_SECONDS = 0.01
Report = TypeVar("Report", bound=Message)


class Conversation(ABC, Generic[Report]):
    """What runs of all kinds have in common; a kind keeps what is made, and says what was.

    `order` starts the run, `store` keeps what it reports to be gone on from. The trainer stays
    warm unless it may be in a bad state.
    """

    def __init__(self, attempt: Attempt, order: Message, store: Callable[[Report], None]) -> None:
        self._attempt = attempt
        self._order = order
        self._trainer = attempt.station.trainer.take()
        self._requests = Requests(attempt, self._trainer)
        self._keeper = Keeper(store)
        self._features = Keeper(partial(features.store, attempt))
        self._heard = time.monotonic()
        self._kill_counter = kill_counter(self._trainer.pid)
        self._oom_kills = oom_kills(self._kill_counter)

    def run(self) -> Outcome:
        """Carry the run out and return how it ended."""
        self._trainer.send(self._order.line())
        try:
            return self._until_ended()
        except BaseException:
            self._attempt.station.trainer.discard()
            raise
        finally:
            self._keeper.close()
            self._features.close()

    def _until_ended(self) -> Outcome:
        while True:
            self._heed()
            try:
                message = self._trainer.receive(_TICK_SECONDS)
            except ProcessEndedError as ended:
                self._await_stored()
                return self._died(ended)
            if message is not None:
                self._heard = time.monotonic()
                if isinstance(message, Paused | Done | Answered | Failed):
                    self._await_stored()
                ended_with = self._take(message)
                if ended_with is not None:
                    return ended_with

    def _await_stored(self) -> None:
        """Let what was reported be stored, for as long as the attempt may go on."""
        while self._keeper.is_busy or self._features.is_busy:
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
            case FeaturesWanted():
                packs = features.stage(self._attempt, message.key)
                self._heard = time.monotonic()
                self._trainer.send(Staged(packs=packs).line())
            case FeaturesReport():
                self._features.keep(message)
            case Paused():
                return self._requests.ending or outcome.released(self._attempt.claim)
            case Done() | Answered():
                cancelled = self._requests.is_cancelled
                return outcome.cancelled(self._attempt.claim) if cancelled else self._done(message)
            case Failed():
                return self._failed(message)
            case _:
                self._keep(message)
        return None

    @abstractmethod
    def _keep(self, message: FromTrainer) -> None:
        """Keep what the run has made so far, if that is what the message is about."""

    @abstractmethod
    def _done(self, done: Done | Answered) -> Outcome:
        """Return the outcome of a run that succeeded."""

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
        if ended.code == -signal.SIGKILL and oom_kills(self._kill_counter) > self._oom_kills:
            message = "The system ran out of memory and killed the trainer."
            return self._attempt.lost(ErrorCode.OUT_OF_MEMORY, message)
        message = f"The trainer died ({ended.how})."
        return self._attempt.lost(ErrorCode.WORKER_LOST, message)
