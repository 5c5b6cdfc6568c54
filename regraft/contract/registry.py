"""The model registry: aliases and what moves them, deletions, and the audit trail."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from regraft.contract.ids import ModelId
from regraft.contract.metrics import Gain, Shown
from regraft.contract.refs import MAX_VERSION
from regraft.contract.resources import JsonObject
from regraft.contract.strict import Strict


class AuditAction(StrEnum):
    """What the audit trail tells of."""

    MODEL_PROMOTED = "model.promoted"
    MODEL_ROLLED_BACK = "model.rolled_back"
    MODEL_DELETED = "model.deleted"
    ALIAS_REMOVED = "alias.removed"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"


class AliasMove(Strict):
    """Where an alias is to point: a version of the name, or the model it pointed to before.

    A model that is worse than the one it would replace, on the same images, is refused unless
    `force`; `previous` never is, so that a roll-back cannot fail when it is needed.
    """

    to: Annotated[int, Field(ge=1, le=MAX_VERSION)] | ModelId | Literal["previous"]
    force: bool = False


class Comparison(Shown):
    """How the model that an alias points to did against the one before, on the same images.

    `gain` is in accuracy points with a 95% interval; `test` images count where there are any,
    else the held-out images (`validation`) that both models share.
    """

    compared_with: str
    images: Literal["test", "validation"]
    num_images: int
    accuracy: float
    accuracy_before: float
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
