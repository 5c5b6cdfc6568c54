"""The audit trail: entries are added by the transactions that they tell of, and only read."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from db.models import AuditEntry
from db.repositories.reading import Slice, Window, newest_first
from db.tenancy import scoped
from regraft.contract.ids import new_id
from regraft.contract.registry import AuditAction


class Actor(NamedTuple):
    """Who acts: a key, in one request. An operator on the server has neither."""

    key_id: str | None
    request_id: str | None


OPERATOR = Actor(None, None)


def record(
    session: Session,
    tenant_id: str,
    actor: Actor,
    action: AuditAction,
    subject: str,
    **data: object,
) -> None:
    """Add an entry to the transaction that makes the change."""
    session.add(
        AuditEntry(
            id=new_id("aud"),
            tenant_id=tenant_id,
            actor=actor.key_id,
            action=action,
            subject=subject,
            data=data,
            request_id=actor.request_id,
        )
    )
    session.flush()


def listed(session: Session, tenant_id: str, window: Window) -> Slice[AuditEntry]:
    """Return a page of the tenant's entries, newest first."""
    return newest_first(session, scoped(AuditEntry, tenant_id), AuditEntry.id, "aud", window)
