"""A listener that remembers what the engine said, and can wish to cancel or stop."""

from regraft.contract.status import EventLevel, Phase
from worker.engine.context import Context


class Recorder(Context):
    """Remembers everything; cancels or stops as soon as a phase is reached, if told to."""

    def __init__(self, cancel_in: Phase | None = None, stop_in: Phase | None = None) -> None:
        self.steps: list[tuple[Phase, float]] = []
        self.counts: list[tuple[int | None, int | None]] = []
        self.events: list[tuple[EventLevel, str, dict[str, object]]] = []
        self.values: dict[str, list[float]] = {}
        self.at: dict[str, list[int]] = {}
        self.cancel_in = cancel_in
        self.stop_in = stop_in

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

    def said(self, words: str) -> bool:
        """Tell whether an event holds these words."""
        return any(words in message for _, message, _ in self.events)
