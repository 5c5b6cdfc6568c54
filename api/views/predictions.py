"""Photos in, answers out: predictions and vectors, by the serving process."""

from functools import partial

from pydantic import Field

from api import photos
from api.routing import Call, Query, Routes
from core.refusals import InvalidError
from core.serving import Asked
from db.repositories import models
from regraft.contract.errors import ErrorCode
from regraft.contract.prediction import MAX_TOP, Embedding, Prediction

routes = Routes()
ERRORS = (
    ErrorCode.INVALID_MULTIPART,
    ErrorCode.INCOMPLETE_BODY,
    ErrorCode.REQUEST_TIMEOUT,
    ErrorCode.PAYLOAD_TOO_LARGE,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE,
    ErrorCode.NOT_SERVABLE,
    ErrorCode.ARTIFACT_CORRUPT,
    ErrorCode.STORAGE_FULL,
)
HEADERS = {
    "Content-Digest": "RFC 9530: `sha-256=:…:` or `sha-512=:…:` of the whole body, checked.",
}
_route = partial(
    routes.add, "POST", errors=ERRORS, form=photos.FORM, headers=HEADERS, gate="predictions"
)


class EmbedQuery(Query):
    """Whether all photos show one product, which then gets one answer."""

    pool: bool = False


class PredictQuery(EmbedQuery):
    """How many labels each answer lists."""

    top: int = Field(default=3, ge=1, le=MAX_TOP)


@_route("/v1/models/{ref}/predict", Prediction)
def predict(call: Call, ref: str, query: PredictQuery) -> Prediction:
    """Recognise photos with a model.

    Probabilities are calibrated, and the model abstains below its labels' thresholds. A photo
    that cannot be read has an `error` in its place; the others are answered.
    """
    asked, content = _asked(call, ref, query, query.top)
    return call.services.serving.predict(asked, content)


@_route("/v1/models/{ref}/embed", Embedding)
def embed(call: Call, ref: str, query: EmbedQuery) -> Embedding:
    """Turn photos into vectors by a model's backbone, to compare products by.

    A photo that cannot be read has an `error` in its place.
    """
    asked, content = _asked(call, ref, query, top=1)
    return call.services.serving.embed(asked, content)


def _asked(call: Call, ref: str, query: EmbedQuery, top: int) -> tuple[Asked, tuple[bytes, ...]]:
    """Return what to ask; a model that is not there is said before the photos are read."""
    with call.database.read() as session:
        model_id = models.find(session, call.tenant_id, ref).id
    named, content = photos.received(call.services)
    if query.pool and any(photo.group is not None for photo in named):
        raise InvalidError("groups", "cannot be given with `pool`")
    asked = Asked(
        tenant_id=call.tenant_id,
        model_id=model_id,
        photos=named,
        pool=query.pool,
        top=top,
        seconds=call.services.settings.serving.seconds,
    )
    return asked, content
