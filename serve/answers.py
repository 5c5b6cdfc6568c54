"""From photos and a model to predictions and vectors: decode, one backbone for all, many heads.

A photo that cannot be read costs itself alone. Photos of one product are pooled by the mean of
their features, which for a linear head is the mean of their logits.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from core.blobs import SHARED_SCOPE
from core.refusals import RefusedError
from core.serving import Asked, Found, Neighbours, Sought
from regraft.contract.errors import ErrorCode
from regraft.contract.prediction import (
    Embedded,
    Embedding,
    Guess,
    PhotoError,
    Predicted,
    Prediction,
)
from regraft.contract.search import UnreadPhoto
from serve.batcher import LateError
from serve.decoders import Decoders, NoDecoderError, UnreadableError
from serve.heads import Head
from serve.monitor import Monitor
from serve.residents import Loaded, Residents
from serve.turns import FullError
from serve.vectors import Hit, Place, Shelves
from worker.engine.shipped.predict import Floats, answer_of, normalised

Features = Floats | PhotoError  # [d], or why a photo has none
_UNREADABLE = PhotoError(code="unreadable", message="No photo of this product could be read.")


class Row(NamedTuple):
    """What one result rests on: a photo's features or a product's, or why there are none."""

    image: str | None
    group: str | None
    num_images: int
    features: Features


class Answers:
    """Answers requests; safe to share between threads."""

    def __init__(
        self, residents: Residents, decoders: Decoders, monitor: Monitor, shelves: Shelves
    ) -> None:
        self._residents = residents
        self._shelves = shelves
        self._decoders = decoders
        self._monitor = monitor

    def predict(self, asked: Asked, photos: Sequence[bytes]) -> Prediction:
        """Return what the model says of the photos.

        Raises `not_found`, `not_servable`, `unavailable`, or `BlobCorruptError`.
        """
        head = self._residents.head(asked.tenant_id, asked.model_id)
        found = self._features(head, asked, photos)
        self._watch(head, asked, photos, found)
        results = [_predicted(head, row, asked.top) for row in rows_of(asked, found)]
        return Prediction(model=asked.model_id, results=results)

    def embed(self, asked: Asked, photos: Sequence[bytes]) -> Embedding:
        """Return the photos as vectors; raises as `predict`."""
        head = self._residents.head(asked.tenant_id, asked.model_id)
        found = self._features(head, asked, photos)
        results = [_embedded(row) for row in rows_of(asked, found)]
        return Embedding(model=asked.model_id, backbone_sha256=head.graph.sha256, results=results)

    def search(self, asked: Sought, photos: Sequence[bytes]) -> Neighbours:
        """Return the images of a dataset nearest to what the photos show, all of one product.

        Raises as `predict`, and as `Shelves.vectors`; `not_servable` for a backbone of its own.
        """
        head = self._residents.head(asked.tenant_id, asked.model_id)
        if head.graph.scope != SHARED_SCOPE:
            message = "Only models on a frozen, published backbone can search; this one is tuned."
            raise RefusedError(ErrorCode.NOT_SERVABLE, message, "model")
        place = Place(asked.tenant_id, asked.dataset_id, asked.key, head.weight.shape[1])
        vectors = self._shelves.vectors(place, asked.seconds)
        one_product = asked.model_copy(update={"pool": True})
        query, *left_out = rows_of(one_product, self._features(head, asked, photos))
        hits: list[Hit] = []
        if not isinstance(query.features, PhotoError):
            hits = vectors.nearest(query.features, asked.top, collapse=asked.collapse)
        return Neighbours(
            num_images=len(vectors.ids),
            num_missing=vectors.num_missing,
            exact=vectors.lookup.exact,
            recall=vectors.lookup.recall,
            hits=tuple(Found(image=hit.image, score=hit.score) for hit in hits),
            errors=tuple(_unread(row) for row in left_out),
        )

    def _features(self, head: Head, asked: Asked, photos: Sequence[bytes]) -> list[Features]:
        with self._residents.backbone(asked.tenant_id, head) as loaded:
            return _Pass(head, loaded, self._decoders, asked).features(photos)

    def _watch(
        self, head: Head, asked: Asked, photos: Sequence[bytes], found: Sequence[Features]
    ) -> None:
        """Let the monitor count the photos that were read, each by itself."""
        pairs = zip(photos, found, strict=True)
        read = [(data, one) for data, one in pairs if not isinstance(one, PhotoError)]
        if head.reference is None or not read:
            return
        features = np.stack([one for _, one in read])
        classes = head.probabilities(features).argmax(axis=1)
        key = (asked.tenant_id, asked.model_id)
        self._monitor.saw(key, head.reference, [data for data, _ in read], features, classes)


class _Pass:
    """One request's photos on their way through the decoders and the backbone."""

    def __init__(self, head: Head, loaded: Loaded, decoders: Decoders, asked: Asked) -> None:
        self._preprocess = head.preprocess
        self._batcher = loaded.batcher
        self._decoders = decoders
        self._merchant = asked.tenant_id
        self._deadline = monotonic() + asked.seconds
        self._begun: list[Future[Any]] = []

    def features(self, photos: Sequence[bytes]) -> list[Features]:
        """Return the features of each photo, or why it has none; raises `unavailable`."""
        with self._given_up_on_failure():
            decoding = [self._decoded(data) for data in photos]
            passing = [self._passed(pixels) for pixels in decoding]
            return [
                one if isinstance(one, PhotoError) else one.result(self._left()) for one in passing
            ]

    @contextmanager
    def _given_up_on_failure(self) -> Iterator[None]:
        try:
            yield
        except (FullError, NoDecoderError) as error:
            raise _unavailable("More photos wait than can be answered in time.") from error
        except (LateError, TimeoutError, CancelledError) as error:
            raise _unavailable("The photos could not be answered in time.") from error
        finally:
            for future in self._begun:
                future.cancel()

    def _decoded(self, data: bytes) -> Future[Any]:
        pixels = self._decoders.submit(self._merchant, data, self._preprocess)
        self._begun.append(pixels)
        return pixels

    def _passed(self, pixels: Future[Any]) -> "Future[Floats] | PhotoError":
        """Send a decoded photo on to the backbone; return its features to come."""
        try:
            found = pixels.result(self._left())
        except UnreadableError as error:
            return PhotoError(code=error.verdict, message=error.message)
        tensor = normalised(found, self._preprocess.settings)
        features = self._batcher.submit(self._merchant, tensor, self._deadline)
        self._begun.append(features)
        return features

    def _left(self) -> float:
        return max(0.0, self._deadline - monotonic())


def rows_of(asked: Asked, found: Sequence[Features]) -> list[Row]:
    """Return a row for each photo alone and each product, and for each photo that has an error.

    A product's row stands where its first photo is.
    """
    rows: list[Row] = []
    products: dict[str | None, list[Floats]] = {}
    places: dict[str | None, int] = {}
    for photo, features in zip(asked.photos, found, strict=True):
        is_alone = photo.group is None and not asked.pool
        if not is_alone and photo.group not in places:
            places[photo.group], products[photo.group] = len(rows), []
            rows.append(Row(None, photo.group, 0, _UNREADABLE))
        if is_alone or isinstance(features, PhotoError):
            rows.append(Row(photo.name, photo.group, int(is_alone), features))
        else:
            products[photo.group].append(features)
    for group, members in products.items():
        if members:
            mean: Floats = np.mean(members, axis=0, dtype=np.float32)
            rows[places[group]] = Row(None, group, len(members), mean)
    return rows


def _predicted(head: Head, row: Row, top: int) -> Predicted:
    said: dict[str, Any] = {"label": None, "probability": None, "abstained": True, "top": []}
    error = row.features if isinstance(row.features, PhotoError) else None
    if not isinstance(row.features, PhotoError):
        probabilities = head.probabilities(row.features[None])[0]
        answer = answer_of(probabilities, head.labels, head.thresholds, top)
        said = {**answer, "top": [Guess(**guess) for guess in answer["top"]]}
    return Predicted(
        image=row.image, group=row.group, num_images=row.num_images, error=error, **said
    )


def _embedded(row: Row) -> Embedded:
    error = row.features if isinstance(row.features, PhotoError) else None
    vector = None if isinstance(row.features, PhotoError) else row.features.tolist()
    return Embedded(
        image=row.image, group=row.group, num_images=row.num_images, vector=vector, error=error
    )


def _unread(row: Row) -> UnreadPhoto:
    error = row.features if isinstance(row.features, PhotoError) else _UNREADABLE
    return UnreadPhoto(image=row.image or "", code=error.code, message=error.message)


def _unavailable(message: str) -> RefusedError:
    return RefusedError(ErrorCode.UNAVAILABLE, message)
