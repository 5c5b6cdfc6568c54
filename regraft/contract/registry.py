"""The model registry: aliases and what moves them, deletions, and the audit trail."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from regraft.contract.ids import DatasetId, ModelId
from regraft.contract.job import Exports
from regraft.contract.metrics import Gain, Shown
from regraft.contract.naming import Metadata, Text
from regraft.contract.refs import MAX_VERSION
from regraft.contract.resources import JsonObject
from regraft.contract.strict import Strict


class AuditAction(StrEnum):
    """What the audit trail tells of."""

    MODEL_PROMOTED = "model.promoted"
    MODEL_ROLLED_BACK = "model.rolled_back"
    MODEL_DELETED = "model.deleted"
    DATASET_VERSION_MADE = "dataset.version_made"
    DATASET_DELETED = "dataset.deleted"
    ERASURE_CANCELLED = "erasure.cancelled"
    ALIAS_REMOVED = "alias.removed"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    KEY_ROTATED = "key.rotated"
    MERCHANT_CREATED = "merchant.created"
    MERCHANT_CHANGED = "merchant.changed"
    WEBHOOK_CREATED = "webhook.created"
    WEBHOOK_CHANGED = "webhook.changed"
    WEBHOOK_SECRET_ROTATED = "webhook.secret_rotated"  # noqa: S105 - what was done, no secret
    WEBHOOK_DISABLED = "webhook.disabled"
    WEBHOOK_DELETED = "webhook.deleted"


class AliasMove(Strict):
    """Where an alias is to point: a version of the name, or the model it pointed to before.

    A model that names fewer of the same held-out images right than the one it would replace is
    refused unless `force`; `previous` never is, so that a roll-back works when it is needed.
    """

    to: Annotated[int, Field(ge=1, le=MAX_VERSION)] | ModelId | Literal["previous"]
    force: bool = False


class NewClasses(Strict):
    """The body of `POST /v1/models/{ref}/classes`: what to add to a finished model.

    Each label of `dataset` that the model does not know, or `label` alone, which also is what
    the images of a dataset without labels show. `test_dataset` defaults to the model's own.
    """

    dataset: DatasetId
    label: Text | None = None
    test_dataset: DatasetId | None = None
    guard: Literal["on", "off"] = "on"
    exports: Exports = Field(default=["onnx"], max_length=4)
    name: Text | None = None
    metadata: Metadata = Field(default={})
    priority: int = Field(default=0, ge=-100, le=100)

    @field_validator("test_dataset")
    @classmethod
    def _another(cls, dataset: str | None, info: ValidationInfo) -> str | None:
        if dataset is not None and dataset == info.data.get("dataset"):
            raise ValueError("must be another dataset than `dataset`")
        return dataset


class Evaluate(Strict):
    """The body of `POST /v1/models/{ref}/evaluate`: what to measure a finished model on."""

    dataset: DatasetId
    name: Text | None = None
    metadata: Metadata = Field(default={})
    priority: int = Field(default=0, ge=-100, le=100)


class Comparison(Shown):
    """How many of the same images a model named right, and the one it replaced before it.

    `gain` is in accuracy points with a 95% interval. `images` are the `test` images where there
    are any, else those that both models held out of training (`validation`).
    """

    compared_with: str
    images: Literal["test", "validation"]
    num_images: int
    num_right: int
    num_right_before: int
    gain: Gain


class Alias(Shown):
    """A name for one version; `previous` is the model it named before, to roll back to.

    `comparison` is what moving it was judged by, null where nothing was compared.
    """

    object: Literal["alias"] = "alias"
    name: str
    alias: str
    model: str
    version: int
    previous: str | None
    comparison: Comparison | None
    updated_at: str


class Deleted(Shown):
    """What is there no more."""

    id: str
    object: str
    deleted: Literal[True] = True


class AuditEntry(Shown):
    """Who did what: `actor` is a key's id, null for an operator on the server."""

    id: str
    object: Literal["audit_entry"] = "audit_entry"
    action: str
    actor: str | None
    subject: str
    request_id: str | None
    data: JsonObject
    created_at: str
