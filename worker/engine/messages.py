"""The JSON lines between a supervisor and its trainer, one message a line; no torch here.

In: `run`, `batch`, `cancel`, `stop`, `pause`, `staged`. Out: `ready`, `progress`, `event`,
`metrics`, `wanted`, `features`, `checkpoint`, `produced`, `part`, and one of `done`, `answered`,
`paused`, `failed`.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from regraft.contract.errors import ErrorCode
from regraft.contract.metrics import JobMetrics, Transfer
from regraft.contract.resources import Progress
from regraft.contract.status import EventLevel
from worker.engine.runspec import BatchRun, RunSpec

SHA256 = r"^[0-9a-f]{64}$"
PACK_NAME = r"^[0-9a-f]{32}$"


class Message(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def line(self) -> str:
        """Return the message as one JSON line, newline included."""
        return self.model_dump_json(by_alias=True) + "\n"


class Run(Message):
    """Start a run; the trainer takes one at a time."""

    type: Literal["run"] = "run"
    spec: RunSpec


class Batch(Message):
    """Let a finished model answer a whole dataset; the trainer takes one run at a time."""

    type: Literal["batch"] = "batch"
    spec: BatchRun


class Cancel(Message):
    """End the run at the next safe point and drop what it made."""

    type: Literal["cancel"] = "cancel"


class Stop(Message):
    """End training early and keep the best model so far."""

    type: Literal["stop"] = "stop"


class Pause(Message):
    """Write a checkpoint at the next safe point and end the run, to be resumed from it."""

    type: Literal["pause"] = "pause"


class Staged(Message):
    """The answer to `wanted`: so many feature packs were brought to the run's cache."""

    type: Literal["staged"] = "staged"
    packs: int


class Ready(Message):
    """The trainer has imported what it needs and waits for a run."""

    type: Literal["ready"] = "ready"


class ProgressReport(Message):
    """Where the run is."""

    type: Literal["progress"] = "progress"
    progress: Progress


class EventReport(Message):
    """A line for the job's history."""

    type: Literal["event"] = "event"
    level: EventLevel = "info"
    message: str
    data: dict[str, object] = {}


class MetricsReport(Message):
    """Values of named series at one step."""

    type: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, float]


class FeaturesWanted(Message):
    """The cache lacks features of this key; the run waits for `staged`."""

    type: Literal["wanted"] = "wanted"
    key: str = Field(pattern=SHA256)


class FeaturesReport(Message):
    """Packs of a key in the run's cache, by name, that hold features of the run's images."""

    type: Literal["features"] = "features"
    key: str = Field(pattern=SHA256)
    backbone: str = Field(max_length=64)
    packs: list[Annotated[str, Field(pattern=PACK_NAME)]]


class BlobRef(Message):
    """A file the run wrote: its path, hash and size; `shared` ones depend on public data only."""

    type: Literal["blob"] = "blob"
    path: Path
    sha256: str
    size: int
    shared: bool = False


class Segment(Message):
    """A range of a blob, in bytes; the segments of a file, end to end, are its content."""

    type: Literal["segment"] = "segment"
    sha256: str
    shared: bool
    offset: int
    length: int


class ProducedFile(Message):
    """A file of the model: name, whole size and hash, and the segments it is made of."""

    type: Literal["file"] = "file"
    name: str
    size: int
    sha256: str
    segments: list[Segment]


class CheckpointReport(Message):
    """A checkpoint lies whole at `path`, in the run's workspace; `step` orders them in a job.

    It holds all that a resumed run needs to end with the metrics of an unbroken one.
    """

    type: Literal["checkpoint"] = "checkpoint"
    path: Path
    sha256: str
    size: int
    step: int
    epoch: int | None = None


class PartReport(Message):
    """The part `seq` of a batch's answers lies whole at `path`, in the run's workspace."""

    type: Literal["part"] = "part"
    path: Path
    sha256: str
    size: int
    seq: int
    num_rows: int
    num_errors: int


class Paused(Message):
    """The run ended because it was asked to pause; its last checkpoint came before."""

    type: Literal["paused"] = "paused"


class Produced(Message):
    """Everything the model consists of; the blobs lie in the run's workspace or caches."""

    type: Literal["produced"] = "produced"
    blobs: list[BlobRef]
    files: list[ProducedFile]


class Done(Message):
    """The run succeeded; `produced` came before. `backbone` is what the model stands on."""

    type: Literal["done"] = "done"
    backbone: str
    labels: list[str]
    metrics: JobMetrics
    transfer: Transfer
    lineage: dict[str, object]
    num_images: int


class Answered(Message):
    """The batch has answered everything, in `num_parts` parts that came before or earlier."""

    type: Literal["answered"] = "answered"
    num_parts: int


class Failed(Message):
    """The run failed or was cancelled; `code` is null for a cancel."""

    type: Literal["failed"] = "failed"
    code: ErrorCode | None
    message: str
    param: str | None = None


ToTrainer = Annotated[Run | Batch | Cancel | Stop | Pause | Staged, Field(discriminator="type")]
FromTrainer = Annotated[
    Ready
    | ProgressReport
    | EventReport
    | MetricsReport
    | FeaturesWanted
    | FeaturesReport
    | CheckpointReport
    | Produced
    | PartReport
    | Paused
    | Done
    | Answered
    | Failed,
    Field(discriminator="type"),
]
to_trainer: TypeAdapter[ToTrainer] = TypeAdapter(ToTrainer)
from_trainer: TypeAdapter[FromTrainer] = TypeAdapter(FromTrainer)
