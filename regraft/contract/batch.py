"""Batches: a finished model's answers about every image of a dataset, as one file."""

from typing import Annotated, Literal

from pydantic import Field

from regraft.contract.errors import JobError
from regraft.contract.ids import DatasetId
from regraft.contract.job import Limits
from regraft.contract.metrics import Shown
from regraft.contract.naming import Metadata, Text
from regraft.contract.prediction import MAX_TOP, Guess, PhotoError
from regraft.contract.refs import ModelReference
from regraft.contract.resources import JsonObject, Progress, Queue, Usage
from regraft.contract.status import ShownStatus
from regraft.contract.strict import Strict

BatchFormat = Literal["jsonl", "csv"]


class BatchSpec(Strict):
    """Which model answers about which dataset, how many labels each answer lists, and as what.

    A batch that was taken on holds the model's id: it is answered by the model that was meant
    when it was submitted.
    """

    dataset: DatasetId
    model: ModelReference
    format: BatchFormat = "jsonl"
    top: Annotated[int, Field(ge=1, le=MAX_TOP)] = 3
    limits: Limits = Limits()


class BatchSubmission(BatchSpec):
    """The body of `POST /v1/batches`: a spec's fields, and what the batch is called."""

    name: Text | None = None
    metadata: Metadata = Field(default={})
    priority: int = Field(default=0, ge=-100, le=100)

    def spec(self) -> BatchSpec:
        """Return the spec alone."""
        return BatchSpec.model_validate(
            {name: getattr(self, name) for name in BatchSpec.model_fields}
        )


class BatchRow(Shown):
    """The answer about one image: what `predict` says of a photo, under the image's id.

    `name` is its path in the dataset, `group` its product where that is known. With an `error`
    there is no answer: the upload has given the image that verdict, or it could not be read.
    """

    image: str
    name: str
    group: str | None
    label: str | None
    probability: float | None
    abstained: bool
    top: list[Guess]
    error: PhotoError | None


class BatchFile(Shown):
    """The answers of a batch that succeeded: size in bytes, hash, rows, and those in error."""

    name: str
    bytes: int
    sha256: str
    num_rows: int
    num_errors: int


class Batch(Shown):
    """A batch, which is a job: it waits for its turn, and can be paused, cancelled and retried.

    `file` is null until it has succeeded, and once its answers were deleted.
    """

    id: str
    object: Literal["batch"] = "batch"
    name: str | None
    status: ShownStatus
    status_reason: str | None
    dataset: str
    model: str
    format: str
    top: int
    limits: JsonObject
    progress: Progress | None
    queue: Queue | None
    priority: int
    attempt: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    file: BatchFile | None
    usage: Usage | None
    error: JobError | None
    metadata: dict[str, str]
