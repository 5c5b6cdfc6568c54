"""`python -m worker.engine run.json`: one run from a shell, without queue or database.

May import the contract and the engine's own modules.
"""

import json
import sys
import time
import traceback

from regraft.contract.status import EventLevel, Phase
from worker.engine.context import Context
from worker.engine.export.segments import compose
from worker.engine.failures import EngineError, as_engine_error
from worker.engine.runner import run
from worker.engine.runspec import RunSpec

_BETWEEN_LINES = 0.5  # seconds


class Terminal(Context):
    """Tells a person on stderr where the run is."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last: tuple[Phase | None, float] = (None, 0.0)

    def progress(
        self, phase: Phase, fraction: float, done: int | None = None, total: int | None = None
    ) -> None:
        """Write a line where the phase is new or half a second has passed."""
        now = time.monotonic()
        if phase == self._last[0] and now - self._last[1] < _BETWEEN_LINES and fraction < 1:
            return
        self._last = (phase, now)
        count = f"  {done}/{total}" if total else ""
        self._say(f"{fraction:4.0%}  {phase}{count}")

    def event(self, message: str, level: EventLevel = "info", **data: object) -> None:
        """Write the message, and the data beside a warning."""
        self._say(message if level == "info" else f"{level}: {message} {data or ''}")

    def _say(self, text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - self._started:6.1f} s  {text}\n")


def main(spec: RunSpec) -> int:
    """Carry out `spec`; return 0, or 1 where it failed."""
    try:
        return _run(spec)
    except KeyboardInterrupt:
        sys.stderr.write("cancelled\n")
        return 1
    except Exception as error:  # noqa: BLE001 - the boundary: whatever it is, the user is told
        _explain(error)
        return 1


def _run(spec: RunSpec) -> int:
    result = run(spec, Terminal())
    folder = spec.workspace / "model"
    compose(result.produced, folder)
    sys.stderr.write(f"model: {folder}\n")
    sys.stdout.write(json.dumps(result.done.model_dump(mode="json", by_alias=True)) + "\n")
    return 0


def _explain(error: Exception) -> None:
    if not isinstance(error, EngineError):
        traceback.print_exception(error, file=sys.stderr)
    known = as_engine_error(error)
    sys.stderr.write(f"failed: {known.code.value}: {known.message}\n")
