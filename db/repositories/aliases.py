"""Aliases of models: names such as `production` that move from one version to another.

A move is planned from one snapshot and applied only if the alias still points where it did.
"""

from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.refusals import ConflictError, InvalidError, NotFoundError
from db.base import now
from db.lifecycle.guard import changed
from db.models import Model, ModelAlias
from db.repositories import audit, models
from db.repositories.audit import Actor
from db.repositories.reading import Window, get
from db.tenancy import scoped
from regraft.contract.refs import PRODUCTION
from regraft.contract.registry import AuditAction

_ONE = Window(1, None)


class Place(NamedTuple):
    """An alias of a name, which may not be there yet."""

    tenant_id: str
    name: str
    alias: str

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}"


class Move(NamedTuple):
    """The model to point to and the one pointed to now, None for a new alias."""

    to: Model
    now: Model | None

    @property
    def is_done(self) -> bool:
        """Whether the alias points there already."""
        return self.now is not None and self.now.id == self.to.id


class Pointing(NamedTuple):
    """An alias and the model that it points to."""

    alias: ModelAlias
    model: Model


def show(session: Session, place: Place) -> Pointing:
    """Return where an alias points; raises `NotFoundError`."""
    row = get(session, _rows(place), "alias")
    return Pointing(row, models.find(session, place.tenant_id, row.model_id))


def live_model(
    session: Session, tenant_id: str, name: str, alias: str = PRODUCTION
) -> Model | None:
    """Return the model that an alias of a name points to now, if there is one."""
    row = session.scalar(_rows(Place(tenant_id, name, alias)))
    return None if row is None else models.find(session, tenant_id, row.model_id)


def plan(session: Session, place: Place, to: int | str) -> Move:
    """Return what to do to point to a version, a model id, or the `previous` model.

    Raises `NotFoundError` for the name or, with `param`, for what it is to point to,
    `InvalidError` for a model of another name, `ConflictError` where there is nothing to roll
    back to.
    """
    _require_name(session, place)
    row = session.scalar(_rows(place))
    model = models.find(session, place.tenant_id, _reference(place, row, to), param="to")
    if model.name != place.name:
        raise InvalidError("to", f"is a version of {model.name}, not of {place.name}")
    now_at = None if row is None else models.find(session, place.tenant_id, row.model_id)
    return Move(model, now_at)


def apply(session: Session, place: Place, move: Move, actor: Actor, **noted: object) -> bool:
    """Move the alias if it still points where it did when the move was planned, and audit it.

    Returns False, having written nothing, where it does not, or where the model is gone.
    """
    if models.held(session, place.tenant_id, move.to.id) is None:
        return False
    if not _write(session, place, move):
        return False
    is_back = move.now is not None and move.to.version < move.now.version
    action = AuditAction.MODEL_ROLLED_BACK if is_back else AuditAction.MODEL_PROMOTED
    moved = {"from": None if move.now is None else _noted(move.now), "to": _noted(move.to)}
    audit.record(session, place.tenant_id, actor, action, str(place), **moved, **noted)
    return True


def remove(session: Session, place: Place, actor: Actor) -> None:
    """Take an alias away; the model stays. Raises `NotFoundError`."""
    _require_name(session, place)
    found = show(session, place)
    if changed(session, delete(ModelAlias).where(_is(place))):
        was = _noted(found.model)
        audit.record(
            session, place.tenant_id, actor, AuditAction.ALIAS_REMOVED, str(place), **{"from": was}
        )


def _require_name(session: Session, place: Place) -> None:
    if not models.listed(session, place.tenant_id, place.name, _ONE).rows:
        raise NotFoundError("model")


def _rows(place: Place) -> Select[ModelAlias]:
    return scoped(ModelAlias, place.tenant_id).where(_is(place))


def _is(place: Place) -> ColumnElement[bool]:
    return and_(
        ModelAlias.tenant_id == place.tenant_id,
        ModelAlias.name == place.name,
        ModelAlias.alias == place.alias,
    )


def _reference(place: Place, row: ModelAlias | None, to: int | str) -> str:
    if to != "previous":
        return to if isinstance(to, str) else f"{place.name}:{to}"
    if row is None:
        raise NotFoundError("alias")
    if row.previous_id is None:
        raise ConflictError(f"{place} has pointed to no other model that is still there.", "to")
    return row.previous_id


def _write(session: Session, place: Place, move: Move) -> bool:
    """Write the move unless the alias has moved since it was planned; return whether it was."""
    if move.now is not None:
        values = {"model_id": move.to.id, "previous_id": move.now.id, "updated_at": now()}
        still = _is(place) & (ModelAlias.model_id == move.now.id)
        return changed(session, update(ModelAlias).where(still).values(values)) > 0
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    values = {**place._asdict(), "model_id": move.to.id}
    creation = dialect.insert(ModelAlias).values(values).on_conflict_do_nothing()
    # The count of rows is not known to every driver here.
    return session.scalar(creation.returning(ModelAlias.alias)) is not None


def _noted(model: Model) -> dict[str, object]:
    return {"model": model.id, "version": model.version}
