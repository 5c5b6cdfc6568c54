"""Aliases of models, and the audit trail of what a team changed."""

from api import promotions, shown
from api.routing import Call, PageQuery, Routes
from db.repositories import aliases, audit
from db.repositories.aliases import Place
from db.repositories.reading import Window
from regraft.contract.errors import ErrorCode
from regraft.contract.registry import Alias, AliasMove, AuditEntry, Deleted
from regraft.contract.resources import Page

routes = Routes()


@routes.add(
    "PUT",
    "/v1/models/{name}/aliases/{alias}",
    Alias,
    scope="write",
    errors=(ErrorCode.CONFLICT, ErrorCode.WORSE_MODEL),
)
def move_alias(call: Call, name: str, alias: str, body: AliasMove) -> Alias:
    """Point an alias to a version, or back to the `previous` one; it is made where it is missing.

    A model that is worse than the one it would replace, on the same images, is refused.
    """
    return promotions.move(call, Place(call.tenant_id, name, alias), body)


@routes.add("DELETE", "/v1/models/{name}/aliases/{alias}", Deleted, scope="write")
def remove_alias(call: Call, name: str, alias: str) -> Deleted:
    """Take an alias away; the model stays."""
    place = Place(call.tenant_id, name, alias)
    with call.database.write() as session:
        aliases.remove(session, place, call.actor)
    return Deleted(id=str(place), object="alias")


@routes.add("GET", "/v1/audit", Page[AuditEntry])
def list_audit(call: Call, query: PageQuery) -> Page[AuditEntry]:
    """List who changed what, newest first."""
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = audit.listed(session, call.tenant_id, window)
    return shown.page(rows, shown.audit_entry)
