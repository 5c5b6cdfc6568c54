"""What a trainer is asked for while it runs, and how the run ends if it does not listen.

A cancel goes before a pause, a pause before a shutdown, and all of them before a stop.
"""

import time

from regraft.contract.status import RequestedAction
from worker.engine.messages import Cancel, Pause, Stop
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.outcome import InterruptedRunError, Outcome
from worker.trainer_process import TrainerProcess

# What is left of the time to drain goes to storing the checkpoint and giving the job back.
_DRAIN_SHARE = 0.75


class Requests:
    """The wishes of one run's user, and its worker's shutdown, as told to the trainer."""

    def __init__(self, attempt: Attempt, trainer: TrainerProcess) -> None:
        self._attempt = attempt
        self._trainer = trainer
        self._asked: dict[str, float] = {}

    @property
    def ending(self) -> Outcome | None:
        """How the run ends once it does, or None where nobody asked for an end without result."""
        claim = self._attempt.claim
        if Cancel().type in self._asked:
            return outcome.cancelled(claim)
        if Pause().type not in self._asked:
            return None
        if self._attempt.heart.wish is RequestedAction.PAUSE:
            return outcome.paused(claim)
        return outcome.released(claim)

    @property
    def is_cancelled(self) -> bool:
        """Whether the trainer was told that nobody wants the model."""
        return Cancel().type in self._asked

    def follow(self) -> None:
        """Pass on what is wished now; raise where the trainer must be killed for it."""
        attempt, timings = self._attempt, self._attempt.station.settings.timings
        if attempt.is_unwanted:
            self._ask(Cancel(), timings.kill_grace)
        elif attempt.heart.wish is RequestedAction.PAUSE:
            self._ask(Pause(), timings.kill_grace)
        elif attempt.station.drain.is_set():
            self._ask(Pause(), timings.drain * _DRAIN_SHARE)
        elif attempt.heart.wish is RequestedAction.STOP and Stop().type not in self._asked:
            self._asked[Stop().type] = time.monotonic()
            self._trainer.send(Stop().line())

    def _ask(self, message: Cancel | Pause, grace: float) -> None:
        if message.type not in self._asked:
            self._asked[message.type] = time.monotonic()
            self._trainer.send(message.line())
        ending = self.ending
        if ending is not None and time.monotonic() - self._asked[message.type] > grace:
            raise InterruptedRunError(ending)
