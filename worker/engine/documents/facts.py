"""What the card and the report are written from.

May import the contract and the engine's own modules.
"""

from collections import Counter
from typing import NamedTuple

from regraft.contract.held_out import HeldOut
from regraft.contract.metrics import Metrics
from worker.engine.context import Series
from worker.engine.export.model import Trained
from worker.engine.inputs import Inputs
from worker.engine.runspec import RunSpec


class Facts(NamedTuple):
    """A finished run: what was asked, what came of it, and what the model says of held-out images.

    `series` are the values that were reported while it ran.
    """

    spec: RunSpec
    trained: Trained
    given: Inputs
    said: HeldOut
    series: Series

    @property
    def measured(self) -> list[tuple[str, Metrics]]:
        """What was measured of this model, the most telling first."""
        metrics = self.trained.metrics
        parts = (("test images", metrics.test), ("held-out images", metrics.validation))
        return [(name, found) for name, found in parts if found is not None]

    @property
    def others(self) -> list[tuple[str, Metrics]]:
        """What was measured of other models on the held-out images."""
        transfer = self.trained.transfer
        extension = transfer.extension
        parts = (
            ("known labels, before the new ones", extension.before if extension else None),
            ("frozen backbone with a linear head", transfer.baseline),
            ("trained from scratch", transfer.from_scratch),
            ("the model live until now", transfer.live_model),
        )
        return [(name, found) for name, found in parts if found is not None]

    @property
    def num_train(self) -> Counter[str]:
        """How many images of each label were trained on."""
        return Counter(image.label or "" for image in self.given.parts.train)


def percent(share: float | None) -> str:
    """Return a fraction as percent; a dash where it is not known."""
    return "-" if share is None else f"{share:.1%}"


def interval(ends: tuple[float, float]) -> str:
    """Return an interval of fractions as percent."""
    return f"{ends[0]:.1%} to {ends[1]:.1%}"
