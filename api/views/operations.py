"""Operations: who am I, what do I use, is the process alive, can it serve."""

from typing import Literal

from api import shown
from api.routing import Call, Routes
from core.refusals import RefusedError
from db.readiness import is_migrated
from db.repositories import quotas
from regraft.contract.errors import ErrorCode
from regraft.contract.metrics import Shown
from regraft.contract.resources import MerchantUsage, Whoami

routes = Routes()


class Health(Shown):
    """Whether the process is alive, or ready to serve."""

    status: Literal["ok", "ready"]


@routes.add("GET", "/v1/whoami", Whoami)
def whoami(call: Call) -> Whoami:
    """Show the merchant and the scopes of the key."""
    caller = call.caller
    return Whoami(
        merchant=caller.tenant_id,
        merchant_name=caller.tenant_name,
        key=caller.key_id,
        scopes=list(caller.scopes),
    )


@routes.add("GET", "/v1/usage", MerchantUsage)
def show_usage(call: Call) -> MerchantUsage:
    """Show what you use of storage, queue and devices, and your quotas."""
    with call.services.database.read() as session:
        return shown.usage(quotas.usage(session, call.tenant_id))


@routes.add("GET", "/healthz", Health, scope=None)
def healthz() -> Health:
    """Tell that the process answers; looks at nothing else."""
    return Health(status="ok")


@routes.add("GET", "/readyz", Health, scope=None, errors=(ErrorCode.UNAVAILABLE,))
def readyz(call: Call) -> Health:
    """Tell whether the database can be reached and has the newest schema."""
    if not is_migrated(call.services.database):
        raise RefusedError(ErrorCode.UNAVAILABLE, "The database's schema is not this version's.")
    return Health(status="ready")
