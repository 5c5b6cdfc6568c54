"""One attempt at one job: its claim, its heart, its folders, and whether it may go on."""

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from db.lifecycle.claim import Claim
from db.lifecycle.requeue import deadline_error, seconds_allowed
from regraft.contract.errors import ErrorCode
from regraft.contract.status import RequestedAction
from worker.local_cache import hold
from worker.station import Station
from worker.supervisor import outcome
from worker.supervisor.heart import Heart
from worker.supervisor.outcome import InterruptedRunError, Outcome


@dataclass(frozen=True)
class Attempt:
    """What a run may use; `began` is the monotonic time of the claim."""

    station: Station
    claim: Claim
    heart: Heart
    workspace: Path
    began: float
    holds: ExitStack = field(default_factory=ExitStack)

    def hold(self, path: Path) -> bool:
        """Keep an entry of the cache from being trimmed while the attempt lasts; False if gone."""
        opened = hold(path)
        if opened is not None:
            self.holds.callback(os.close, opened)
        return opened is not None

    def interruption(self) -> Outcome | None:
        """Return how the attempt must end at once, or None if it may go on."""
        if self.heart.lost or self.heart.silent_for > self.station.settings.timings.self_fence:
            return outcome.ABANDONED
        spent = self.claim.seconds_before + time.monotonic() - self.began
        if spent > seconds_allowed(self.claim.spec):
            return outcome.failed_with(self.claim, deadline_error(self.claim.spec))
        return None

    @property
    def is_unwanted(self) -> bool:
        """Whether the user wishes to cancel."""
        return self.heart.wish is RequestedAction.CANCEL

    def check(self, *, finishing: bool = False) -> None:
        """Raise `InterruptedRunError` if the attempt must end, or is wished to.

        A run that is `finishing` is not given back to a shutdown: storing its model is short.
        """
        found = self.interruption()
        if found is None and self.station.drain.is_set() and not finishing:
            found = outcome.released(self.claim)
        if found is None and self.is_unwanted:
            found = outcome.cancelled(self.claim)
        if found is not None:
            raise InterruptedRunError(found)

    def lost(self, code: ErrorCode, message: str) -> Outcome:
        """Return the outcome of an attempt whose process died or hung."""
        return outcome.lost(self.claim, self.station.settings, code, message)
