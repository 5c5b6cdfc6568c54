"""I10: whoever is to be told of an end is told, at least once, by the service and by nobody else.

Each merchant has an endpoint at one receiver, which fails now and then and is well in the end.
"""

import random
import time
from collections.abc import Iterator, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.lifecycle.deliveries import WAITS
from db.models import Dataset, Job, JobEvent, Webhook, WebhookDelivery
from db.session import Database
from regraft.contract.status import TERMINAL, JobKind
from tests.support.merchants import Merchant
from tests.support.receiver import Heard, Receiver
from tests.support.webhooks import add, is_signed

_HABITS = ("ok", "ok", "error", "reset", "redirect", "drip")
_SECONDS = (0.5, 2.0)
_NOUNS: dict[str, str] = {
    JobKind.TRAIN: "job",
    JobKind.BATCH: "batch",
    JobKind.EVALUATE: "job",
}


class Audience:
    """The receiver and its moods, drawn from a seed of its own."""

    def __init__(self, receiver: Receiver, seed: int) -> None:
        self.receiver = receiver
        self._dice = random.Random(seed)
        self._until = 0.0

    def join(self, database: Database, merchants: Sequence[Merchant]) -> None:
        """Let the receiver be told of everything that ends for these merchants from now on."""
        for one in merchants:
            add(database, one.tenant_id, self.receiver.url(f"/{one.tenant_id}"))

    def tend(self) -> None:
        """Change the mood if it has lasted."""
        if time.monotonic() >= self._until:
            self.receiver.habit = self._dice.choice(_HABITS)
            self._until = time.monotonic() + self._dice.uniform(*_SECONDS)

    def heal(self) -> None:
        """Take every call from now on."""
        self.receiver.habit = "ok"


def everything_is_told(session: Session, heard: Sequence[Heard]) -> Iterator[str]:
    """I10: a delivery for each end, what it says is true, and no call that is not signed."""
    for webhook in session.scalars(select(Webhook)):
        query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
        deliveries = list(session.scalars(query))
        calls = [one for one in heard if one.accepted and one.path == f"/{webhook.tenant_id}"]
        yield from _untold(session, webhook, deliveries)
        yield from _untrue(webhook, deliveries, {one.event_id for one in calls})
        yield from _forged(webhook, deliveries, calls)


def _untold(
    session: Session, webhook: Webhook, deliveries: Sequence[WebhookDelivery]
) -> Iterator[str]:
    """Yield the ends of jobs and of checks that nothing is to tell of."""
    told = {(one.event_id, one.subject, one.type) for one in deliveries}
    columns = (JobEvent.id, JobEvent.job_id, JobEvent.data, Job.kind)
    ends = select(*columns).join(Job, Job.id == JobEvent.job_id)
    mine = (Job.tenant_id == webhook.tenant_id) & Job.kind.in_(_NOUNS)
    since = (JobEvent.type == "status") & (JobEvent.created_at >= webhook.created_at)
    for row in session.execute(ends.where(mine, since)):
        to = row.data["to"]
        news = (row.id, row.job_id, f"{_NOUNS[row.kind]}.{to}")
        if to in TERMINAL and news not in told:
            yield f"I10 {row.job_id} is {to}, and {webhook.id} is not to hear of it"
    checked = {(subject, kind) for _, subject, kind in told}
    datasets = select(Dataset.id, Dataset.status).where(
        Dataset.tenant_id == webhook.tenant_id,
        Dataset.created_at >= webhook.created_at,
        Dataset.status.in_(("ready", "invalid")),
    )
    for found in session.execute(datasets):
        if (found.id, f"dataset.{found.status}") not in checked:
            yield f"I10 {found.id} is {found.status}, and {webhook.id} is not to hear of it"


def _untrue(
    webhook: Webhook, deliveries: Sequence[WebhookDelivery], accepted: set[str]
) -> Iterator[str]:
    """Yield deliveries that say they arrived, or cannot, against the facts."""
    for one in deliveries:
        if one.status == "succeeded" and one.event_id not in accepted:
            yield f"I10 {one.id} succeeded, and {webhook.url} never took it"
        if one.status == "failed" and one.retry < len(WAITS) and webhook.disabled_at is None:
            yield f"I10 {one.id} was given up after {one.retry} of {len(WAITS)} waits"


def _forged(
    webhook: Webhook, deliveries: Sequence[WebhookDelivery], calls: Sequence[Heard]
) -> Iterator[str]:
    """Yield calls that a receiver must not believe, or that tell of something else."""
    known = {one.event_id: one.subject for one in deliveries}
    for call in calls:
        if not is_signed(call, webhook.seed):
            yield f"I10 {webhook.url} heard of {call.subject} without a valid signature"
        if known.get(call.event_id) != call.subject:
            yield f"I10 {webhook.url} heard of {call.subject} under an id that is not its own"
