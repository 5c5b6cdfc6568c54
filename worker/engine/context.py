"""How the engine talks outward: progress, events, metrics, checkpoints, and wishes.

`Context` does nothing with any of it and is complete; whoever listens overrides it.
May import the contract and the standard library.
"""

from pathlib import Path

from regraft.contract.status import EventLevel, Phase

Series = dict[str, list[tuple[int, float]]]


class RunCancelledError(Exception):
    """The run was cancelled between two steps."""


class RunPausedError(Exception):
    """The run was paused; its last checkpoint, where it had anything to keep, came before."""


class Context:
    """The do-nothing listener: a run under it behaves as under any other."""

    def progress(
        self, phase: Phase, fraction: float, done: int | None = None, total: int | None = None
    ) -> None:
        """Say where the run is: `fraction` of the whole in 0-1, `done` of `total` steps."""

    def event(self, message: str, level: EventLevel = "info", **data: object) -> None:
        """Add a line to the run's history."""

    def metrics(self, step: int, **values: float) -> None:
        """Report values of named series at one step; names use `_`, all values are finite."""

    def checkpoint(self, path: Path, sha256: str, size: int, step: int, epoch: int) -> None:
        """Say that a checkpoint lies whole at `path`; `step` orders those of a run."""

    def part(self, path: Path, sha256: str, size: int, seq: int, counts: tuple[int, int]) -> None:
        """Say that part `seq` of a batch lies whole at `path`; `counts` are its rows and errors."""

    def fetch_features(self, key: str) -> bool:
        """Bring feature packs of a key that lie elsewhere to the cache; tell whether any came."""
        del key
        return False

    def features(self, key: str, backbone: str, packs: list[str]) -> None:
        """Say which packs of a key, by name, hold what the run's images gave in a backbone."""

    def reported(self) -> Series:
        """Return the values that a checkpoint is to keep; none here."""
        return {}

    def resume(self, series: Series) -> None:
        """Take back the values that an earlier attempt reported before its checkpoint."""

    def should_cancel(self) -> bool:
        """Tell whether the run is to end without a result."""
        return False

    def should_stop(self) -> bool:
        """Tell whether training is to end early, with the best result so far."""
        return False

    def should_pause(self) -> bool:
        """Tell whether the run is to write a checkpoint and end, to be resumed from it."""
        return False

    def check(self) -> None:
        """Raise what ends the run, cancel or pause; called between any two steps.

        Where something would be lost by a pause, `check_cancelled` is called in its place, and
        the pause is heeded with a checkpoint.
        """
        self.check_cancelled()
        if self.should_pause():
            raise RunPausedError

    def check_cancelled(self) -> None:
        """Raise `RunCancelledError` if the run is to be cancelled."""
        if self.should_cancel():
            raise RunCancelledError


class Silent(Context):
    """Heeds another context's wishes and reports nothing: for a step inside a step."""

    def __init__(self, outer: Context) -> None:
        self._outer = outer

    def should_cancel(self) -> bool:
        """Tell what the outer context tells."""
        return self._outer.should_cancel()

    def should_stop(self) -> bool:
        """Tell what the outer context tells."""
        return self._outer.should_stop()

    def should_pause(self) -> bool:
        """Tell what the outer context tells."""
        return self._outer.should_pause()

    def fetch_features(self, key: str) -> bool:
        """Let the outer context bring them: what is found is no report."""
        return self._outer.fetch_features(key)

    def features(self, key: str, backbone: str, packs: list[str]) -> None:
        """Tell the outer context, which keeps them for later runs."""
        self._outer.features(key, backbone, packs)


class Relay(Silent):
    """Passes everything on; whoever changes a part of it overrides that."""

    def progress(
        self, phase: Phase, fraction: float, done: int | None = None, total: int | None = None
    ) -> None:
        """Pass it on."""
        self._outer.progress(phase, fraction, done, total)

    def event(self, message: str, level: EventLevel = "info", **data: object) -> None:
        """Pass it on."""
        self._outer.event(message, level, **data)

    def metrics(self, step: int, **values: float) -> None:
        """Pass them on."""
        self._outer.metrics(step, **values)

    def checkpoint(self, path: Path, sha256: str, size: int, step: int, epoch: int) -> None:
        """Pass it on."""
        self._outer.checkpoint(path, sha256, size, step, epoch)

    def reported(self) -> Series:
        """Return what the outer context has."""
        return self._outer.reported()

    def resume(self, series: Series) -> None:
        """Pass them on."""
        self._outer.resume(series)


class Recorded(Relay):
    """Keeps the values of each series for the report."""

    def __init__(self, outer: Context) -> None:
        super().__init__(outer)
        self._values: dict[str, dict[int, float]] = {}

    def metrics(self, step: int, **values: float) -> None:
        """Keep the values and pass them on."""
        for name, value in values.items():
            self._values.setdefault(name, {})[step] = value
        self._outer.metrics(step, **values)

    def reported(self) -> Series:
        """Return every series so far, by step; a later value of a step replaces an earlier."""
        return {name: sorted(values.items()) for name, values in self._values.items()}

    def resume(self, series: Series) -> None:
        """Add what an earlier attempt reported; this one's own values stay."""
        for name, points in series.items():
            earlier = dict(points)
            self._values[name] = earlier | self._values.get(name, {})
