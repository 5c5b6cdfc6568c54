"""Moving an alias: planned, judged by what both models did on the same images, then written.

Nothing is locked while bytes are read: a move whose alias has moved meanwhile is planned again.
"""

from api import shown
from api.routing import Call
from core.refusals import ConflictError
from db.repositories import aliases
from db.repositories.aliases import Place
from regraft.contract.registry import Alias, AliasMove

_TRIES = 3


def move(call: Call, place: Place, wanted: AliasMove) -> Alias:
    """Point an alias where it is wanted, and return where it points.

    Raises what `aliases.plan` raises.
    """
    database = call.services.database
    for _attempt in range(_TRIES):
        with database.read() as session:
            planned = aliases.plan(session, place, wanted.to)
        with database.write() as session:
            if planned.is_done or aliases.apply(session, place, planned, call.actor):
                return shown.alias(aliases.show(session, place), None)
    raise ConflictError("The alias is moving: try again.")
