"""Moving an alias: planned, judged by what both models did on the same images, then written.

Nothing is locked while bytes are read: a move whose alias has moved meanwhile is planned again.
"""

from pydantic import ValidationError

from api import shown
from api.routing import Call
from core import comparison
from core.comparison import Judged
from core.logs import logger
from core.refusals import ConflictError, RefusedError
from db.models import Model
from db.repositories import aliases, models
from db.repositories.aliases import Move, Place
from db.repositories.models import StoredFile
from regraft.contract import held_out
from regraft.contract.errors import ErrorCode
from regraft.contract.held_out import HeldOut
from regraft.contract.metrics import JobMetrics
from regraft.contract.registry import Alias, AliasMove, Comparison

MAX_PREDICTIONS = 16 * 1024 * 1024  # bytes to read of a model; more are judged by metrics alone
_TRIES = 3


def move(call: Call, place: Place, wanted: AliasMove) -> Alias:
    """Point an alias where it is wanted, and return where it points.

    Raises what `aliases.plan` raises, and `worse_model` unless that is forced or a roll-back.
    """
    database = call.database
    for _attempt in range(_TRIES):
        with database.read() as session:
            planned = aliases.plan(session, place, wanted.to)
        found = _compared(call, planned)
        if not wanted.force and wanted.to != "previous":
            _require_no_worse(place, planned, found)
        noted = {"forced": wanted.force, "comparison": found and found.model_dump(mode="json")}
        with database.write() as session:
            if planned.is_done or aliases.apply(session, place, planned, call.actor, **noted):
                return shown.alias(aliases.show(session, place), found)
    raise ConflictError("The alias is moving: try again.")


def _compared(call: Call, planned: Move) -> Comparison | None:
    if planned.now is None or planned.is_done:
        return None
    new, before = (_judged(call, model) for model in (planned.to, planned.now))
    return comparison.compare(new, before)


def _judged(call: Call, model: Model) -> Judged:
    with call.database.read() as session:
        test_dataset = models.test_dataset(session, call.tenant_id, model)
        file = models.file_if_any(session, call.tenant_id, model.id, held_out.FILE_NAME)
    metrics = JobMetrics.model_validate(model.metrics)
    kept = None if file is None else _predictions(call, file)
    return Judged(model.id, test_dataset, metrics, kept)


def _predictions(call: Call, file: StoredFile) -> HeldOut | None:
    """Return a model's predictions; None where there are too many to compare in a request."""
    if file.size > MAX_PREDICTIONS:
        return None
    content = bytearray()
    for part in file.segments:
        for piece in call.blobs.read(part.scope, part.sha256, part.offset, part.length):
            content += piece
    try:
        return HeldOut.model_validate_json(bytes(content))
    except ValidationError:
        logger(__name__).exception("predictions cannot be read", model=file.model_id)
        return None


def _require_no_worse(place: Place, planned: Move, found: Comparison | None) -> None:
    if found is None or planned.now is None or found.num_right >= found.num_right_before:
        return
    low, high = found.gain.interval
    name = "test images" if found.images == "test" else "held-out images"
    doubt = "" if high < 0 else " So few images cannot rule out that this is chance."
    message = (
        f"{place.name}:{planned.to.version} names {found.num_right} of {found.num_images} {name} "
        f"right, {place.name}:{planned.now.version}, which {place.alias} points to, "
        f"{found.num_right_before}: {found.gain.points:+.1f} points "
        f"(95% interval {low:+.1f} to {high:+.1f}).{doubt}"
    )
    raise RefusedError(ErrorCode.WORSE_MODEL, message, "to")
