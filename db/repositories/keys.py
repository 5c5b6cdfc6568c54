"""Merchants and their API keys: made, revoked, and looked up by what a request shows.

A key is `rg_<8>_<43>`: a public prefix and 256 random bits, of which only the SHA-256 is stored.
"""

import hashlib
import hmac
import re
import secrets
from typing import NamedTuple

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from core.refusals import InvalidError, NotFoundError
from db.base import now
from db.lifecycle.guard import changed
from db.models import ApiKey, Tenant
from db.repositories import audit
from db.repositories.audit import OPERATOR, Actor
from db.session import Database
from db.tenancy import scoped
from regraft.contract.ids import new_id
from regraft.contract.registry import AuditAction

SCOPES = ("read", "write", "admin")
DEFAULT_SCOPES = ("read", "write")
_PREFIX_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_MAX_LIFETIME = 100 * 366 * 86_400.0
_PREFIX_LENGTH = 8
_FORM = re.compile(r"rg_([0-9a-z]{8})_([A-Za-z0-9_-]{43})", re.ASCII)
_NOBODY = "0" * 64


class Caller(NamedTuple):
    """Who a key belongs to, and what it may do."""

    tenant_id: str
    tenant_name: str
    key_id: str
    scopes: tuple[str, ...]


class NewKey(NamedTuple):
    """A key as it is shown once: its id, its text and its scopes."""

    id: str
    tenant_id: str
    key: str
    scopes: tuple[str, ...]


def authenticate(database: Database, key: str) -> Caller | None:
    """Return whose key this is; None for a malformed, unknown, wrong, expired or revoked one.

    An unknown prefix costs the same query and the same comparison as a wrong secret.
    """
    form = _FORM.fullmatch(key)
    if form is None:
        return None
    prefix, secret = form.groups()
    # any tenant: the key is what says which tenant it is.
    query = select(ApiKey, Tenant.name).join(Tenant, Tenant.id == ApiKey.tenant_id)
    usable = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now())
    with database.read() as session:
        row = session.execute(
            query.where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None), usable)
        ).one_or_none()
    known = _NOBODY if row is None else row[0].secret_sha256
    if not hmac.compare_digest(_sha256(secret), known) or row is None:
        return None
    found: ApiKey = row[0]
    return Caller(found.tenant_id, row[1], found.id, tuple(found.scopes))


def create_merchant(session: Session, name: str) -> Tenant:
    """Insert a merchant and return its row."""
    merchant = Tenant(id=new_id("mer"), name=name)
    session.add(merchant)
    session.flush()
    return merchant


def find_merchant(session: Session, reference: str) -> Tenant:
    """Return a merchant by id, or by a name that only one has."""
    found = session.scalars(
        select(Tenant).where(or_(Tenant.id == reference, Tenant.name == reference)).limit(2)
    ).all()
    if not found:
        raise NotFoundError("merchant", "merchant")
    if len(found) > 1:
        raise InvalidError("merchant", "several merchants have this name: give the id")
    return found[0]


def create_key(
    session: Session,
    tenant_id: str,
    scopes: tuple[str, ...] = DEFAULT_SCOPES,
    *,
    name: str = "key",
    lifetime: float | None = None,
    by: Actor = OPERATOR,
) -> NewKey:
    """Insert a key and return its text, which cannot be had again; `lifetime` in seconds."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise InvalidError("scopes", f"choose from: {', '.join(SCOPES)}")
    if lifetime is not None and not 0 < lifetime <= _MAX_LIFETIME:
        raise InvalidError("lifetime", "must be more than 0 and at most 100 years")
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_LENGTH))
    secret = secrets.token_urlsafe(32)
    row = ApiKey(
        id=new_id("key"),
        tenant_id=tenant_id,
        prefix=prefix,
        secret_sha256=_sha256(secret),
        name=name,
        scopes=list(scopes),
        expires_at=None if lifetime is None else now() + lifetime,
    )
    session.add(row)
    session.flush()
    noted = {"name": name, "scopes": list(scopes), "expires_at": row.expires_at}
    audit.record(session, tenant_id, by, AuditAction.KEY_CREATED, row.id, **noted)
    return NewKey(row.id, tenant_id, f"rg_{prefix}_{secret}", scopes)


def revoke_key(session: Session, tenant_id: str, reference: str, *, by: Actor = OPERATOR) -> str:
    """End a key, named by its id or its public prefix; return its id. Twice changes nothing."""
    key = session.scalar(
        scoped(ApiKey, tenant_id).where(or_(ApiKey.id == reference, ApiKey.prefix == reference))
    )
    if key is None:
        raise NotFoundError("key", "key")
    live = (ApiKey.id == key.id) & ApiKey.revoked_at.is_(None)
    if changed(session, update(ApiKey).where(live).values(revoked_at=now())):
        audit.record(session, tenant_id, by, AuditAction.KEY_REVOKED, key.id, name=key.name)
    return key.id


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
