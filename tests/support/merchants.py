"""Two merchants, so that every test has somebody else's rows to keep its hands off."""

import hashlib
import secrets
from typing import NamedTuple

from db.models import ApiKey, Tenant
from db.session import Database
from regraft.contract.ids import new_id


class Merchant(NamedTuple):
    """A merchant of the tests: its tenant id, and a key with its scopes."""

    name: str
    tenant_id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """The header that authenticates this merchant."""
        return {"Authorization": f"Bearer {self.key}"}


def create(database: Database, name: str, scopes: tuple[str, ...] = ("read", "write")) -> Merchant:
    """Insert a merchant with one key."""
    prefix, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    tenant_id = new_id("mer")
    with database.write() as session:
        session.add(Tenant(id=tenant_id, name=name))
        session.flush()
        session.add(
            ApiKey(
                id=new_id("key"),
                tenant_id=tenant_id,
                prefix=prefix,
                secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
                name="test",
                scopes=list(scopes),
            )
        )
    return Merchant(name, tenant_id, f"rg_{prefix}_{secret}")
