"""The trainer: a child process with torch, kept warm from job to job and replaced when in doubt.

May import core and `worker.engine.messages`; torch is the child's business alone.
"""

import resource
import sys

from core.logs import logger
from core.settings import Settings
from worker.engine.messages import FromTrainer, from_trainer
from worker.line_process import LineProcess

TrainerProcess = LineProcess[FromTrainer]
_COMMAND = (sys.executable, "-m", "worker.engine", "serve")
_log = logger(__name__)


class WarmTrainer:
    """At most one trainer, started when it is first needed or warmed."""

    def __init__(self, settings: Settings) -> None:
        self._command = settings.trainer_command or _COMMAND
        self._memory = settings.trainer_memory
        self._max_runs = settings.trainer_max_runs
        self._process: TrainerProcess | None = None
        self._runs = 0

    def warm(self) -> None:
        """Start the trainer if none runs, so that the next job finds its imports done."""
        if self._process is None or not self._process.is_alive:
            self.discard()
            self._process = self._start()

    def refresh(self) -> None:
        """Replace a trainer that died or has run often enough, while nobody waits for it."""
        if self._runs >= self._max_runs:
            self.discard()
        self.warm()

    def take(self) -> TrainerProcess:
        """Return a live trainer for one run."""
        self.refresh()
        if self._process is None:
            raise RuntimeError("the trainer was not started")
        self._runs += 1
        return self._process

    def discard(self) -> None:
        """Kill the trainer; the next run gets a new one."""
        if self._process is not None:
            self._process.kill()
            _log.info("trainer discarded", trainer=self._process.pid, runs=self._runs)
        self._process, self._runs = None, 0

    def _start(self) -> TrainerProcess:
        process: TrainerProcess = LineProcess(self._command, from_trainer.validate_json)
        if self._memory is not None and sys.platform == "linux":
            # Not RLIMIT_AS: importing torch alone maps over 3 GB.
            limits = (self._memory, self._memory)
            resource.prlimit(process.pid, resource.RLIMIT_DATA, limits)
        _log.info("trainer started", trainer=process.pid)
        return process
