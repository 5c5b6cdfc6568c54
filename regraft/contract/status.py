"""The states of a job: what is stored, what may be wished for, and what the API shows."""

from enum import StrEnum
from typing import Literal


class JobStatus(StrEnum):
    """The stored states; the last three are terminal and never change."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


class RequestedAction(StrEnum):
    """A user's wish about a running job, read by its worker's heartbeat."""

    CANCEL = "cancel"
    PAUSE = "pause"
    STOP = "stop"


class ShownStatus(StrEnum):
    """The status the API shows: `running` with a wish has a name of its own."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CANCELLING = "cancelling"
    PAUSING = "pausing"
    STOPPING = "stopping"


_WISHED = {
    RequestedAction.CANCEL: ShownStatus.CANCELLING,
    RequestedAction.PAUSE: ShownStatus.PAUSING,
    RequestedAction.STOP: ShownStatus.STOPPING,
}


def shown(status: JobStatus, wish: RequestedAction | None) -> ShownStatus:
    """Return the status to show for a stored status and the wish beside it."""
    if status is JobStatus.RUNNING and wish is not None:
        return _WISHED[wish]
    return ShownStatus(status.value)


class JobKind(StrEnum):
    """What a job does; every kind shares one state machine."""

    TRAIN = "train"
    INGEST = "ingest"
    ERASE = "erase"
    BATCH = "batch"
    EVALUATE = "evaluate"


# The kinds that a trainer carries out, on its device.
TRAINER_KINDS = frozenset({JobKind.TRAIN, JobKind.BATCH, JobKind.EVALUATE})
# The kinds that a merchant finds under `/v1/jobs`.
SHOWN_KINDS = frozenset({JobKind.TRAIN, JobKind.EVALUATE})


Phase = Literal["preparing", "features", "training", "evaluating", "exporting"]
EventLevel = Literal["info", "warn", "error"]
EventType = Literal["message", "metrics", "status", "checkpoint"]
DatasetStatus = Literal["processing", "ready", "invalid", "deleting"]

# The parts of a dataset that a manifest may name; from upload to training one spelling.
TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
