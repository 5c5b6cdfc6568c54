"""Operations: who am I, what do I use, is the process alive, can it serve."""

from typing import Literal

from api import shown
from api.routing import Call, Routes
from core.refusals import RefusedError
from db.readiness import is_migrated
from db.repositories import quotas
from db.roles import is_held
from regraft.contract.errors import ErrorCode
from regraft.contract.metrics import Shown
from regraft.contract.resources import MerchantUsage, Whoami

routes = Routes()


class Health(Shown):
    """Whether the process is alive, or ready to serve."""

    status: Literal["ok", "ready"]


@routes.add("GET", "/v1/whoami", Whoami)
def whoami(call: Call) -> Whoami:
    """Show the merchant, the scopes of the key, and what is left of the quotas."""
    caller = call.caller
    with call.database.read() as session:
        found = quotas.usage(session, call.tenant_id).quotas
    return Whoami(
        merchant=caller.tenant_id,
        merchant_name=caller.tenant_name,
        key=caller.key_id,
        scopes=list(caller.scopes),
        quotas=[shown.quota(one) for one in found],
    )


@routes.add("GET", "/v1/usage", MerchantUsage)
def show_usage(call: Call) -> MerchantUsage:
    """Show what you use of storage, queue and devices, and your quotas."""
    with call.database.read() as session:
        return shown.usage(quotas.usage(session, call.tenant_id))


@routes.add("GET", "/healthz", Health, scope=None)
def healthz() -> Health:
    """Tell that the process answers; looks at nothing else."""
    return Health(status="ok")


@routes.add("GET", "/readyz", Health, scope=None, errors=(ErrorCode.UNAVAILABLE,))
def readyz(call: Call) -> Health:
    """Tell whether the database can be reached, with the newest schema and the right role."""
    services = call.services
    if not is_migrated(services.system):
        raise RefusedError(ErrorCode.UNAVAILABLE, "The database's schema is not this version's.")
    if services.settings.env == "production" and not is_held(services.merchants):
        message = "The role of REGRAFT_DATABASE_APP_URL is not held by row-level security."
        raise RefusedError(ErrorCode.UNAVAILABLE, message)
    return Health(status="ready")
