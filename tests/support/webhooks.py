"""Endpoints of webhooks as the API makes them, and what a receiver's own check says of a call."""

from sqlalchemy import func, select

from core.settings import WebhookSettings
from core.webhook_secrets import secret
from db.models import Webhook, WebhookDelivery
from db.repositories import webhooks
from db.repositories.audit import OPERATOR
from db.session import Database
from regraft.contract.signatures import matches, sign
from regraft.contract.webhooks import WebhookNew
from tests.support.receiver import Heard


def add(database: Database, tenant_id: str, url: str, **given: object) -> str:
    """Add an endpoint and return its id."""
    new = WebhookNew.model_validate({"url": url, **given})
    with database.write() as session:
        made: str = webhooks.create(session, tenant_id, new, OPERATOR, most=100).id
    return made


def row(database: Database, webhook_id: str) -> Webhook:
    """Return an endpoint as it is now."""
    with database.read() as session:
        return session.get_one(Webhook, webhook_id)


def deliveries(database: Database, webhook_id: str) -> list[WebhookDelivery]:
    """Return an endpoint's deliveries in their order."""
    mine = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id)
    with database.read() as session:
        return list(session.scalars(mine.order_by(WebhookDelivery.id)))


def waiting(database: Database) -> int:
    """Return how many deliveries are neither done nor given up."""
    pending = WebhookDelivery.status == "pending"
    query = select(func.count()).select_from(WebhookDelivery).where(pending)
    with database.read() as session:
        return session.scalar(query) or 0


def is_signed(heard: Heard, seed: str, given: WebhookSettings | None = None) -> bool:
    """Tell whether a call carries the signature of a secret."""
    moment = int(heard.headers["webhook-timestamp"])
    text = secret(given or WebhookSettings(), seed)
    expected = sign(text, heard.event_id, moment, heard.body)
    return matches(heard.headers["webhook-signature"], [expected])
