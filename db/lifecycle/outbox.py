"""The outbox of webhooks: what the endpoints of a merchant are told, written with the move itself.

May be called in any transaction that moves something; where nobody listens it reads one index.
"""

from typing import NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from db.models import Job, Webhook, WebhookDelivery
from regraft.contract.ids import new_id
from regraft.contract.status import TERMINAL, DatasetStatus, JobKind

# What a merchant calls the kinds that it knows by their ids; a dataset tells of its own ingest.
_TOLD = {JobKind.TRAIN: "job", JobKind.BATCH: "batch", JobKind.EVALUATE: "job"}


class _News(NamedTuple):
    event_id: str
    type: str
    subject: str


def job_moved(session: Session, tenant_id: str, event_id: str, job_id: str, to: object) -> None:
    """Tell of the end of a job, under the id of the event that records it."""
    if to not in TERMINAL:
        return
    told = {noun: _News(event_id, f"{noun}.{to}", job_id) for noun in _TOLD.values()}
    listening = {noun: _listening(session, tenant_id, news) for noun, news in told.items()}
    if any(listening.values()):
        kind = session.scalar(select(Job.kind).where(Job.id == job_id))
        noun = _TOLD.get(JobKind(kind)) if kind else None
        if noun is not None:
            _add(session, tenant_id, listening[noun], told[noun])


def dataset_moved(
    session: Session, tenant_id: str, dataset_id: str, status: DatasetStatus | str
) -> None:
    """Tell that a dataset was checked, for good or ill."""
    news = _News(new_id("evt"), f"dataset.{status}", dataset_id)
    _add(session, tenant_id, _listening(session, tenant_id, news), news)


def model_drifted(session: Session, tenant_id: str, model_id: str) -> None:
    """Tell that photos have come to look unlike those that a model learned from."""
    news = _News(new_id("evt"), "model.drifted", model_id)
    _add(session, tenant_id, _listening(session, tenant_id, news), news)


def _listening(session: Session, tenant_id: str, news: _News) -> list[str]:
    """Return the endpoints that are to hear of this type."""
    query = select(Webhook.id, Webhook.events).where(
        Webhook.tenant_id == tenant_id, Webhook.disabled_at.is_(None)
    )
    return [row.id for row in session.execute(query) if news.type in row.events]


def _add(session: Session, tenant_id: str, webhooks: list[str], news: _News) -> None:
    owner = {"tenant_id": tenant_id, **news._asdict()}
    rows = [{"id": new_id("whd"), "webhook_id": one, **owner} for one in webhooks]
    if rows:
        session.execute(insert(WebhookDelivery), rows)
