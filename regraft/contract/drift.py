"""Drift: whether the photos that a model is asked about still look like those it learned from."""

from typing import Any, Literal

from pydantic import Field

from regraft.contract.metrics import Shown

REFERENCE_FILE = "reference.safetensors"
WINDOW = 200  # photos
FALSE_ALARMS = 0.001  # of the windows of photos like the training images
LEAST_SHIFT = 0.5  # standard deviations within a class

DriftStatus = Literal["unavailable", "collecting", "ok", "drifted"]


class DriftWindow(Shown):
    """At least 200 photos one after another, and how far they are from the training images.

    `shift` is the distance of the two means in standard deviations within a class, what chance
    alone makes of it taken off; `p_value` how often photos like the training images would be as
    far away. `drifted` means that the one is at least 0.5 and the other below 0.001.
    """

    started_at: str
    ended_at: str
    num_images: int
    shift: float
    p_value: float
    drifted: bool


class Drift(Shown):
    """Where a model stands: its newest whole window decides, and the older ones stay to be seen.

    `collected` photos of the next window have come. `suggested_job` can be sent to `/v1/jobs` as
    it is: it trains on from this model, on the newest version of its dataset. Null while nothing
    has drifted, and where the dataset or the model's weights are there no more.
    """

    object: Literal["drift"] = "drift"
    model: str
    status: DriftStatus
    message: str
    window_size: int = WINDOW
    false_alarm_rate: float = FALSE_ALARMS
    collected: int
    windows: list[DriftWindow]
    suggested_job: dict[str, Any] | None = Field(default=None)
