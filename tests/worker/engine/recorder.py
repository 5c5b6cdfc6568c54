"""A listener that remembers what the engine said, and can wish to cancel, stop or pause."""

from pathlib import Path

from regraft.contract.status import EventLevel, Phase
from worker.engine.context import Context
from worker.engine.files import file_hash


class Recorder(Context):
    """Remembers everything; if told to, cancels or stops in a phase, or pauses after a step."""

    def __init__(
        self,
        cancel_in: Phase | None = None,
        stop_in: Phase | None = None,
        pause_at: int | None = None,
    ) -> None:
        self.steps: list[tuple[Phase, float]] = []
        self.counts: list[tuple[int | None, int | None]] = []
        self.events: list[tuple[EventLevel, str, dict[str, object]]] = []
        self.values: dict[str, list[float]] = {}
        self.at: dict[str, list[int]] = {}
        self.cancel_in = cancel_in
        self.stop_in = stop_in
        self.pause_at = pause_at
        self.checkpoints: list[tuple[Path, int]] = []

    def progress(
        self, phase: Phase, fraction: float, done: int | None = None, total: int | None = None
    ) -> None:
        self.steps.append((phase, fraction))
        self.counts.append((done, total))

    def event(self, message: str, level: EventLevel = "info", **data: object) -> None:
        self.events.append((level, message, data))

    def metrics(self, step: int, **values: float) -> None:
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)
            self.at.setdefault(name, []).append(step)

    def should_cancel(self) -> bool:
        return self.cancel_in in {phase for phase, _ in self.steps}

    def should_stop(self) -> bool:
        return self.stop_in in {phase for phase, _ in self.steps}

    def should_pause(self) -> bool:
        return self.pause_at is not None and self.pause_at in self.at.get("train_loss", [])

    def checkpoint(self, path: Path, sha256: str, size: int, step: int, epoch: int) -> None:
        assert epoch >= 0
        assert file_hash(path) == sha256
        assert path.stat().st_size == size
        self.checkpoints.append((path, step))

    def said(self, words: str) -> bool:
        """Tell whether an event holds these words."""
        return any(words in message for _, message, _ in self.events)
