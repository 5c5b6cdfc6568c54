"""Erasure: a dataset goes, and with it what its images left in models, checkpoints and caches."""

from typing import Literal

from regraft.contract.ids import DatasetId
from regraft.contract.metrics import Shown
from regraft.contract.strict import Strict

MadeFrom = Literal["trained", "tested"]
Models = Literal["keep", "delete"]
ErasureStatus = Literal["queued", "running", "done", "failed", "cancelled"]


class ErasureRequest(Strict):
    """Which dataset goes, and what becomes of the models that were trained on it.

    One that is kept loses the files that show images: its report, and the bundle with it.
    """

    dataset: DatasetId
    models: Models = "keep"


class AffectedModel(Shown):
    """A model that was trained on a dataset, or on a model of it, or only tested on it."""

    id: str
    name: str
    version: int
    aliases: list[str]
    made_from: MadeFrom


class ErasurePreview(Shown):
    """What an erasure would take, and what stands in its way; nothing is changed.

    `num_shared` of the images are in other datasets too, and stay there. `feature_packs` are what
    was kept of the images' features, `versions` the other versions of it. `bytes` are what nothing
    else uses. `blockers` say in words what must end first.
    """

    object: Literal["erasure.preview"] = "erasure.preview"
    dataset: str
    dataset_name: str
    models: Models
    num_images: int
    num_shared: int
    feature_packs: int
    bytes: int
    affected: list[AffectedModel]
    versions: list[str]
    jobs: list[str]
    blockers: list[str]


class Erased(Shown):
    """What was deleted so far: images, blobs and bytes, models and files, batches' answers.

    `feature_packs` held the features of the images; their blobs and bytes are counted too.
    """

    images: int = 0
    blobs: int = 0
    bytes: int = 0
    models: int = 0
    model_files: int = 0
    checkpoints: int = 0
    batch_files: int = 0
    feature_packs: int = 0


class Erasure(Shown):
    """The record of an erasure: who asked for it, how far it is, and what it deleted.

    One that was called off is `cancelled`, and deleted nothing.
    """

    id: str
    object: Literal["erasure"] = "erasure"
    dataset: str
    dataset_name: str
    models: Models
    status: ErasureStatus
    status_reason: str | None
    deleted: Erased
    actor: str | None
    created_at: str
    finished_at: str | None
