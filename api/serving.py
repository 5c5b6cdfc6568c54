"""The API's side of the serving process: ask, pass its answer on, and do without it.

May import httpx2, core and regraft.contract.
"""

from collections.abc import Sequence
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from core.logs import logger
from core.refusals import RefusedError
from core.serving import MEDIA_TYPE, Asked, Neighbours, Sought, authorization, written
from core.settings import Serving as ServingSettings
from regraft.contract.errors import ErrorCode, ErrorEnvelope
from regraft.contract.prediction import Embedding, Prediction

Answer = TypeVar("Answer", bound=BaseModel)
# What the serving process says of a request; all else is between it and the API.
_PASSED_ON = frozenset(
    {
        ErrorCode.NOT_FOUND,
        ErrorCode.NOT_SERVABLE,
        ErrorCode.DATASET_NOT_INDEXED,
        ErrorCode.ARTIFACT_CORRUPT,
        ErrorCode.UNAVAILABLE,
        ErrorCode.STORAGE_FULL,
    }
)
_UNIX = "unix:"
_CONNECT_SECONDS = 2.0
_GRACE_SECONDS = 1.5  # for an answer that is late by itself to say so
_log = logger(__name__)


class Serving:
    """Connections to the serving process; safe to share between threads."""

    def __init__(self, given: ServingSettings) -> None:
        is_unix = given.url.startswith(_UNIX)
        socket = given.url.removeprefix(_UNIX) if is_unix else None
        self._http = httpx2.Client(
            base_url="http://serve" if is_unix else given.url,
            transport=httpx2.HTTPTransport(uds=socket, retries=1),
            timeout=httpx2.Timeout(given.seconds + _GRACE_SECONDS, connect=_CONNECT_SECONDS),
            headers={
                "Authorization": authorization(given.secret),
                "Content-Type": MEDIA_TYPE,
            },
        )

    def predict(self, asked: Asked, photos: Sequence[bytes]) -> Prediction:
        """Return what a model says of photos.

        Raises `not_found`, `not_servable`, `artifact_corrupt`, or `unavailable`.
        """
        return self._answer("/predict", asked, photos, Prediction)

    def embed(self, asked: Asked, photos: Sequence[bytes]) -> Embedding:
        """Return photos as vectors; raises as `predict`."""
        return self._answer("/embed", asked, photos, Embedding)

    def search(self, sought: Sought, photos: Sequence[bytes]) -> Neighbours:
        """Return images of a dataset that look like photos; raises as `predict`.

        And `dataset_not_indexed` where none of its images has features in the model's space.
        """
        return self._answer("/search", sought, photos, Neighbours)

    def _answer(
        self, route: str, asked: Asked, photos: Sequence[bytes], model: type[Answer]
    ) -> Answer:
        try:
            response = self._http.post(route, content=written(asked, photos))
            if response.is_success:
                return model.model_validate_json(response.content)
            refused = ErrorEnvelope.model_validate_json(response.content).error
        except (httpx2.TransportError, ValidationError) as error:
            _log.warning("serving process does not answer", reason=type(error).__name__)
            raise _unavailable() from error
        if refused.code not in _PASSED_ON:
            _log.error("serving process refused", code=refused.code, message=refused.message)
            raise _unavailable()
        raise RefusedError(ErrorCode(refused.code), refused.message, refused.param)


def _unavailable() -> RefusedError:
    return RefusedError(ErrorCode.UNAVAILABLE, "Models answer no photos now.")
