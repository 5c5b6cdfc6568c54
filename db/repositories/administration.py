"""What an administrator does, for every merchant: called with the `system` role alone.

Whatever is changed stands in the trail of the merchant that it concerns.
"""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.refusals import ConflictError, RefusedError
from db.base import now
from db.lifecycle.guard import changed
from db.models import ApiKey, Tenant
from db.repositories import audit, keys, quotas
from db.repositories.audit import Actor
from db.repositories.keys import Caller, NewKey
from db.repositories.reading import Slice, Window, get, newest_first
from regraft.contract.administration import KeyNew, MerchantChange, MerchantNew
from regraft.contract.errors import ErrorCode
from regraft.contract.registry import AuditAction

_DAY = 86_400.0
_HOUR = 3600.0


def create_merchant(session: Session, new: MerchantNew, actor: Actor) -> Tenant:
    """Insert a merchant with its weight and limits."""
    merchant = keys.create_merchant(session, new.name)
    quotas.set_weight(merchant, new.weight)
    quotas.set_limits(merchant, new.limits.model_dump())
    session.flush()
    noted = new.model_dump(mode="json", exclude_unset=True)
    audit.record(session, merchant.id, actor, AuditAction.MERCHANT_CREATED, merchant.id, **noted)
    return merchant


def find_merchant(session: Session, merchant_id: str, *, param: str | None = None) -> Tenant:
    """Return one merchant; raises `NotFoundError`."""
    return get(session, select(Tenant).where(Tenant.id == merchant_id), "merchant", param=param)


def merchants(session: Session, window: Window) -> Slice[Tenant]:
    """Return a page of all merchants, newest first."""
    return newest_first(session, select(Tenant), Tenant.id, "mer", window)


def change_merchant(
    session: Session, merchant_id: str, wanted: MerchantChange, actor: Actor
) -> Tenant:
    """Change what is named; raises `NotFoundError`."""
    merchant = find_merchant(session, merchant_id)
    if wanted.name is not None:
        merchant.name = wanted.name
    if wanted.weight is not None:
        quotas.set_weight(merchant, wanted.weight)
    if wanted.limits is not None:
        quotas.set_limits(merchant, wanted.limits.model_dump(exclude_unset=True))
    session.flush()
    noted = wanted.model_dump(mode="json", exclude_unset=True)
    audit.record(session, merchant.id, actor, AuditAction.MERCHANT_CHANGED, merchant.id, **noted)
    return merchant


def create_key(session: Session, caller: Caller, new: KeyNew, actor: Actor) -> NewKey:
    """Make a key for a merchant.

    Raises `NotFoundError`, or `insufficient_scope` for scopes that the caller has not itself.
    """
    find_merchant(session, new.merchant, param="merchant")
    _require_held(caller, new.scopes)
    lifetime = None if new.days is None else new.days * _DAY
    return keys.create_key(
        session, new.merchant, tuple(new.scopes), name=new.name, lifetime=lifetime, by=actor
    )


def find_key(session: Session, key_id: str) -> ApiKey:
    """Return one key; raises `NotFoundError`."""
    # any tenant: an administrator has the keys of all.
    return get(session, select(ApiKey).where(ApiKey.id == key_id), "key")


def listed_keys(session: Session, merchant_id: str | None, window: Window) -> Slice[ApiKey]:
    """Return a page of the keys of one merchant, or of all, newest first."""
    # any tenant: an administrator has the keys of all.
    query = select(ApiKey)
    if merchant_id is not None:
        query = query.where(ApiKey.tenant_id == merchant_id)
    return newest_first(session, query, ApiKey.id, "key", window)


def revoke_key(session: Session, caller: Caller, key_id: str, actor: Actor) -> None:
    """End a key at once; raises `NotFoundError`, or `ConflictError` for the caller's own."""
    key = find_key(session, key_id)
    if key.id == caller.key_id:
        raise ConflictError("A key cannot revoke itself: rotate it, or use another one.")
    keys.revoke_key(session, key.tenant_id, key.id, by=actor)


def rotate_key(session: Session, caller: Caller, key_id: str, hours: int, actor: Actor) -> NewKey:
    """Make a key like this one, which ends after so many hours, or when it would have before.

    The new one ends when the old one would have. Raises `NotFoundError`, `ConflictError` for a
    key that is no longer valid, or `insufficient_scope` for one that may do more than the caller.
    """
    key = find_key(session, key_id)
    _require_held(caller, key.scopes)
    moment = session.scalar(select(now())) or 0.0
    left = None if key.expires_at is None else key.expires_at - moment
    if key.revoked_at is not None or (left is not None and left <= 0):
        raise ConflictError("The key is no longer valid: make a new one.")
    made = keys.create_key(
        session, key.tenant_id, tuple(key.scopes), name=key.name, lifetime=left, by=actor
    )
    end = moment + hours * _HOUR
    ends = end if key.expires_at is None else min(end, key.expires_at)
    changed(session, update(ApiKey).where(ApiKey.id == key.id).values(expires_at=ends))
    noted = {"replaced_by": made.id, "overlap_hours": hours}
    audit.record(session, key.tenant_id, actor, AuditAction.KEY_ROTATED, key.id, **noted)
    return made


def _require_held(caller: Caller, scopes: Sequence[str]) -> None:
    """Refuse to hand out what the caller has not: a key must not make itself a better one."""
    missing = sorted(set(scopes) - set(caller.scopes))
    if missing:
        raise RefusedError(
            ErrorCode.INSUFFICIENT_SCOPE,
            f"This key cannot hand out what it has not itself: {', '.join(missing)}.",
            "scopes",
        )
