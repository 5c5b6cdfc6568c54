"""Webhooks: endpoints, what they are told, and how each delivery went."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from regraft.contract.metrics import Shown
from regraft.contract.naming import Text
from regraft.contract.strict import Strict

MAX_URL = 2048
DEFAULT_OVERLAP_HOURS = 24
MAX_OVERLAP_HOURS = 168


class WebhookEventType(StrEnum):
    """What an endpoint can be told of; `webhook.test` comes from the test button alone."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    BATCH_SUCCEEDED = "batch.succeeded"
    BATCH_FAILED = "batch.failed"
    BATCH_CANCELLED = "batch.cancelled"
    MODEL_DRIFTED = "model.drifted"
    DATASET_READY = "dataset.ready"
    DATASET_INVALID = "dataset.invalid"


TEST_TYPE = "webhook.test"
DeliveryStatus = Literal["pending", "succeeded", "failed"]


def _once(types: list[WebhookEventType]) -> list[WebhookEventType]:
    if len(set(types)) < len(types):
        raise ValueError("must name each type once")
    return types


# From JSON a type comes as text, which `Strict` alone would refuse.
EventTypes = Annotated[
    list[Annotated[WebhookEventType, Field(strict=False)]],
    Field(min_length=1, max_length=len(WebhookEventType)),
    AfterValidator(_once),
]
Url = Annotated[str, Field(min_length=1, max_length=MAX_URL)]


class WebhookNew(Strict):
    """An endpoint to add: a public https address, told of everything unless `events` says less."""

    url: Url
    description: Text | None = None
    events: EventTypes = Field(default=list(WebhookEventType))


class WebhookChange(Strict):
    """What to change of an endpoint; what is left out, or null, stays as it is."""

    url: Url | None = None
    description: Text | None = None
    events: EventTypes | None = None
    enabled: bool | None = None


class SecretRotation(Strict):
    """For how long the secret that is replaced still signs beside the new one."""

    overlap_hours: int = Field(default=DEFAULT_OVERLAP_HOURS, ge=0, le=MAX_OVERLAP_HOURS)


class Webhook(Shown):
    """An endpoint. `failing_since` is when its calls began to fail one after another.

    Until `previous_secret_until` each call carries two signatures.
    """

    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    description: str | None
    events: list[str]
    enabled: bool
    disabled_reason: str | None
    failing_since: str | None
    previous_secret_until: str | None
    created_at: str


class WebhookWithSecret(Webhook):
    """An endpoint and its new secret, which is shown this once."""

    secret: str


class DeliveryAttempt(Shown):
    """One call: the status that the receiver answered, or why there was none."""

    at: str
    status_code: int | None
    error: str | None
    seconds: float


class Delivery(Shown):
    """One event for one endpoint; `event` is its `webhook-id`, the same at every attempt.

    `subject` is the id in the body's `data`. Of many attempts the newest are shown.
    """

    id: str
    object: Literal["webhook.delivery"] = "webhook.delivery"
    webhook: str
    event: str
    type: str
    subject: str
    status: DeliveryStatus
    num_attempts: int
    attempts: list[DeliveryAttempt]
    next_attempt_at: str | None
    created_at: str


class EventSubject(Shown):
    """What an event is about."""

    id: str


class WebhookEvent(Shown):
    """The body that a receiver gets: what happened, when, and to what; ask the API for the rest."""

    type: str
    timestamp: str
    data: EventSubject
