"""A loop that outlives whatever its step meets: logs it, waits longer and longer, tries again."""

import threading
from collections.abc import Callable

from core.logs import logger

_LONGEST_PAUSE = 5.0
_FIRST_PAUSE = 0.25
_log = logger(__name__)


class Loop(threading.Thread):
    """Repeats `sleep` and `step` until `stopping` is set; after faults it pauses, up to 5 s."""

    def __init__(
        self,
        name: str,
        sleep: Callable[[], object],
        step: Callable[[], object],
        stopping: threading.Event,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._sleep = sleep
        self._step = step
        self._stopping = stopping

    def run(self) -> None:
        """Repeat the step."""
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                self._sleep()
                self._step()
            except Exception as error:  # noqa: BLE001 - a loop must outlive any fault
                pause = min(_LONGEST_PAUSE, max(2 * pause, _FIRST_PAUSE))
                _log.exception("loop failed", loop=self.name, error=str(error)[:500], pause=pause)
            else:
                pause = 0.0
