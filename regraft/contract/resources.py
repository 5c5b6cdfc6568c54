"""The resources of the HTTP contract as the service shows them: datasets, jobs, models, lists."""

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field

from regraft.contract.errors import JobError
from regraft.contract.metrics import JobMetrics, Shown, Transfer
from regraft.contract.status import DatasetStatus, EventLevel, EventType, Phase, ShownStatus
from regraft.contract.verdict import Verdict

Item = TypeVar("Item")
JsonObject = dict[str, Any]


class Page(Shown, Generic[Item]):
    """One page of a list; `next_cursor` continues it."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    next_cursor: str | None


class ClassCount(Shown):
    """A label and the images accepted for it."""

    name: str
    num_images: int


class Warn(Shown):
    """Something to watch in a dataset or a model that is usable all the same."""

    code: str
    message: str


class Dataset(Shown):
    """An immutable set of images; `bytes` and `sha256` are of the uploaded file."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    version: int
    status: DatasetStatus
    status_reason: str | None
    num_images: int
    num_rejected: int
    num_unlabelled: int
    classes: list[ClassCount]
    warnings: list[Warn]
    parent: str | None
    bytes: int
    sha256: str
    created_at: str
    metadata: dict[str, str]


class Image(Shown):
    """One uploaded file and its verdict; `sha256` is null where nothing was kept."""

    id: str
    object: Literal["image"] = "image"
    path: str
    label: str | None
    verdict: Verdict
    message: str | None
    width: int | None
    height: int | None
    sha256: str | None


class Progress(Shown):
    """Where a running job is; `fraction` is of the whole job, 0-1."""

    phase: Phase
    fraction: float
    epoch: int | None = None
    steps_done: int | None = None
    steps_total: int | None = None
    eta: str | None = None


class Queue(Shown):
    """A queued job's place."""

    jobs_ahead: int | None
    estimated_start: str | None


class QueueShare(Shown):
    """What a merchant gets of the devices and why; of the others it shows totals alone.

    `share` is the part of the devices that is yours while those wait who wait now, 0-1.
    """

    object: Literal["queue"] = "queue"
    weight: int
    share: float
    max_running: int | None
    device_seconds: float
    running: int
    queued: int
    queued_in_all: int
    devices: int
    why: str


class Usage(Shown):
    """What a job used: seconds of its device over all attempts, and images passed through."""

    device_seconds: float
    num_images: int | None = None


def _is_none(value: object) -> bool:
    return value is None


class ShownBase(Shown):
    """Where training starts: one of these, shown alone so that the spec can be sent again.

    A reader takes backbones that it does not know.
    """

    backbone: str | None = Field(default=None, exclude_if=_is_none)
    model: str | None = Field(default=None, exclude_if=_is_none)
    backbones: list[str] | None = Field(default=None, exclude_if=_is_none)


class ShownStrategy(Shown, extra="allow"):
    """The strategy of a job, with whatever belongs to it."""

    type: str


class ShownSpec(Shown, extra="allow"):
    """A `JobSpec` as a reader takes it: an older client must not choke on a newer job."""

    dataset: str
    test_dataset: str | None = None
    source_dataset: str | None = None
    unlabelled_dataset: str | None = None
    base: ShownBase
    strategy: ShownStrategy
    validation: JsonObject
    hyperparameters: JsonObject
    evaluation: JsonObject = Field(default={})
    limits: JsonObject
    seed: int
    exports: list[str]
    comparisons: list[str] = Field(default=[])
    guard: str = "on"


def _plain(value: object) -> object:
    """Let a service that holds a `JobSpec` show it."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


class Job(Shown):
    """An adaptation job."""

    id: str
    object: Literal["job"] = "job"
    name: str | None
    status: ShownStatus
    status_reason: str | None
    spec: Annotated[ShownSpec, BeforeValidator(_plain)]
    register_as: str
    progress: Progress | None
    queue: Queue | None
    priority: int
    attempt: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    model: str | None
    metrics: JobMetrics | None
    transfer: Transfer | None
    usage: Usage | None
    error: JobError | None
    metadata: dict[str, str]


class JobEvent(Shown):
    """One line of a job's history."""

    id: str
    object: Literal["job.event"] = "job.event"
    created_at: str
    level: EventLevel
    type: EventType
    message: str
    data: JsonObject


class Checkpoint(Shown):
    """Where a job's training stood; the newest that is whole is what a resumed job goes on from."""

    object: Literal["job.checkpoint"] = "job.checkpoint"
    step: int
    epoch: int | None
    bytes: int
    sha256: str
    created_at: str


class MetricPoint(Shown):
    """One value of a series."""

    step: int
    value: float
    time: str


class MetricSeries(Shown):
    """Every metric a job reported, by name."""

    object: Literal["metrics"] = "metrics"
    series: dict[str, list[MetricPoint]]


class ModelFile(Shown):
    """A file of a model: its size in bytes and its hash."""

    name: str
    bytes: int
    sha256: str


class Model(Shown):
    """A trained model: one version under a name."""

    id: str
    object: Literal["model"] = "model"
    name: str
    version: int
    aliases: list[str]
    job: str
    backbone: str
    strategy: str
    labels: list[str]
    metrics: JobMetrics
    transfer: Transfer
    files: list[ModelFile]
    lineage: JsonObject
    created_at: str
    metadata: dict[str, str]
    warnings: list[Warn] = Field(default=[])


class JobEstimate(Shown):
    """What a submit would do, without doing it: the job as it would run, and when.

    `typical_seconds` is what jobs of this device class took that succeeded lately.
    """

    object: Literal["job.estimate"] = "job.estimate"
    spec: Annotated[ShownSpec, BeforeValidator(_plain)]
    warnings: list[str]
    queue: Queue
    typical_seconds: float


class Quota(Shown):
    """What a merchant uses of one thing, the most it may, and what is left of that.

    `limit` and `left` are null where no limit is set. Bytes are all that is stored, minutes
    those of the current month.
    """

    name: Literal["stored_bytes", "jobs_queued", "jobs_running", "device_minutes"]
    used: float
    limit: int | None
    left: float | None = None


class MerchantUsage(Shown):
    """What a merchant has used: of the devices in `month` (UTC), of everything else now."""

    object: Literal["usage"] = "usage"
    month: str
    device_seconds: float
    stored_bytes: int
    quotas: list[Quota]


class Whoami(Shown):
    """Who the key belongs to, what it may do, and what is left of the merchant's quotas."""

    object: Literal["whoami"] = "whoami"
    merchant: str
    merchant_name: str
    key: str
    scopes: list[str]
    quotas: list[Quota] = Field(default=[])


class Backbone(Shown):
    """A backbone of the catalogue; sizes in pixels and features."""

    name: str
    object: Literal["backbone"] = "backbone"
    num_parameters: int
    num_features: int
    input_size: int
    stages: list[str]
    licence: str
    weights_fingerprint: str


class Strategy(Shown):
    """A strategy of the catalogue with its JSON schema and defaults."""

    type: str
    object: Literal["strategy"] = "strategy"
    trains: str
    summary: str
    reference: str
    json_schema: JsonObject = Field(default={})
    defaults: JsonObject = Field(default={})
