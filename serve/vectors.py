"""The vectors of datasets in memory: read from stored features, for one merchant each.

Merchants share a stated memory, one of them at most half of it; the longest unused set goes first.
"""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from core.blobs import BlobCorruptError, BlobNotFoundError
from core.logs import logger
from core.refusals import RefusedError
from db.blobs import SqlBlobStore
from db.repositories import search
from db.session import Database
from regraft.contract.errors import ErrorCode
from serve.index import Halves, Index, Numbers
from serve.settings import ServeSettings
from worker.engine.shipped.predict import Floats

_LOADERS = 2
_LENGTH_BYTES = 8
_STALE_SECONDS = 10.0  # after which a set that lacks images is read again
_OVERHEAD = 64  # bytes of an image's id and product
_log = logger(__name__)


class Place(NamedTuple):
    """Which vectors: of a merchant's dataset, under the key of a model's features of `width`."""

    tenant_id: str
    dataset_id: str
    key: str
    width: int


class Hit(NamedTuple):
    """An image that was found, and its cosine to the query."""

    image: str
    score: float


class Vectors(NamedTuple):
    """A dataset in memory: ids [n] and numbers of products [n], -1 for none, by row of the lookup.

    `num_missing` images have no stored features.
    """

    lookup: Index
    ids: list[str]
    products: Numbers
    num_missing: int
    read_at: float

    @property
    def num_bytes(self) -> int:
        """What it takes of memory, roughly."""
        return self.lookup.num_bytes + _OVERHEAD * len(self.ids)

    @property
    def is_stale(self) -> bool:
        """Whether features may have come since."""
        return self.num_missing > 0 and monotonic() - self.read_at > _STALE_SECONDS

    def nearest(self, query: Floats, count: int, *, collapse: bool) -> list[Hit]:
        """Return the images nearest to a query [d], with `collapse` the best of each product."""
        wanted = count
        while True:
            found = self.lookup.nearest(query, wanted)
            rows = self._firsts(found.rows) if collapse else np.arange(len(found.rows))
            if len(rows) >= count or wanted >= len(self.ids):
                break
            wanted = min(len(self.ids), 4 * wanted)
        return [
            Hit(self.ids[found.rows[row]], round(float(found.scores[row]), 6))
            for row in rows[:count]
        ]

    def _firsts(self, rows: Numbers) -> Numbers:
        """Return the places in `rows` of the best of each product, and of all without one."""
        products = self.products[rows]
        alone = np.where(products < 0, -1 - rows, products)
        return np.sort(np.unique(alone, return_index=True)[1])


class Shelves:
    """Reads datasets when they are searched; safe to share between threads."""

    def __init__(self, database: Database, given: ServeSettings) -> None:
        self._database = database
        self._given = given
        self._lock = threading.Lock()
        self._loaders = ThreadPoolExecutor(_LOADERS, thread_name_prefix="vectors")
        self._known: OrderedDict[Place, Vectors] = OrderedDict()
        self._coming: dict[Place, Future[Vectors]] = {}

    def vectors(self, place: Place, seconds: float) -> Vectors:
        """Return the vectors of a place.

        Raises `dataset_not_indexed` where none are stored, `not_servable` where they need more
        memory than one merchant has, `unavailable` where reading takes longer than `seconds`.
        """
        with self._lock:
            known = self._known.get(place)
            if known is not None and not known.is_stale:
                self._known.move_to_end(place)
                return known
            if place not in self._coming:
                self._coming[place] = self._loaders.submit(self._load, place)
            coming = self._coming[place]
        try:
            return coming.result(seconds)
        except TimeoutError as error:
            message = "The dataset's vectors are being read."
            raise RefusedError(ErrorCode.UNAVAILABLE, message) from error

    def close(self) -> None:
        """Let what is being read come to its end, and read nothing more."""
        self._loaders.shutdown(cancel_futures=True)

    def _load(self, place: Place) -> Vectors:
        try:
            vectors = self._read(place)
        finally:
            with self._lock:
                del self._coming[place]
        with self._lock:
            self._known[place] = vectors
            self._known.move_to_end(place)
            self._make_room(place)
        _log.info("vectors read", dataset=place.dataset_id, images=len(vectors.ids))
        return vectors

    def _make_room(self, kept: Place) -> None:
        """Forget the longest unused, first of the same merchant, until all limits are kept."""
        total, share = self._given.vector_bytes, self._given.vector_bytes // 2
        for limit, tenant_id in ((share, kept.tenant_id), (total, None)):
            for place in list(self._known):
                mine = [
                    vectors.num_bytes
                    for one, vectors in self._known.items()
                    if tenant_id in {None, one.tenant_id}
                ]
                if sum(mine) <= limit:
                    break
                if place != kept and tenant_id in {None, place.tenant_id}:
                    del self._known[place]

    def _read(self, place: Place) -> Vectors:
        database = self._database.of(place.tenant_id)
        with database.read() as session:
            images = list(search.sought(session, place.tenant_id, place.dataset_id))
            packs = search.packs(session, place.tenant_id, place.dataset_id, place.key)
        share = self._given.vector_bytes // 2
        needed = len(images) * (2 * place.width + _OVERHEAD)
        if needed > share:
            message = f"The dataset's vectors need {needed} bytes of memory, and may take {share}."
            raise RefusedError(ErrorCode.NOT_SERVABLE, message, "dataset_id")
        rows = _rows(SqlBlobStore(database), place, [pack.sha256 for pack in packs])
        return _assembled(images, rows, place.width, self._given.exact_vectors)


def _assembled(
    images: list[search.Sought], rows: Iterator[tuple[str, Halves]], width: int, exact_up_to: int
) -> Vectors:
    """Return the images that have a row as vectors; raises `dataset_not_indexed` if none has."""
    places: dict[str, list[int]] = {}
    for number, image in enumerate(images):
        places.setdefault(image.sha256, []).append(number)
    features = np.zeros((len(images), width), dtype=np.float16)
    is_known = np.zeros(len(images), dtype=bool)
    for sha256, row in rows:
        numbers = places.get(sha256, [])
        features[numbers] = row
        is_known[numbers] = True
    kept = np.flatnonzero(is_known)
    if not len(kept):
        message = "No features of this dataset are stored in the model's space."
        raise RefusedError(ErrorCode.DATASET_NOT_INDEXED, message, "dataset_id")
    numbers_of: dict[str, int] = {}
    products = [
        -1 if group is None else numbers_of.setdefault(group, len(numbers_of))
        for group in (images[number].group for number in kept)
    ]
    return Vectors(
        lookup=Index(features[kept], exact_up_to=exact_up_to),
        ids=[images[number].id for number in kept],
        products=np.array(products, dtype=np.int64),
        num_missing=len(images) - len(kept),
        read_at=monotonic(),
    )


def _rows(blobs: SqlBlobStore, place: Place, hashes: list[str]) -> Iterator[tuple[str, Halves]]:
    """Yield each image's features [d]; a pack that was altered or is gone is left out."""
    for sha256 in hashes:
        try:
            content = b"".join(blobs.read(place.tenant_id, sha256))
            yield from _unpacked(content, sha256, place.width)
        except (BlobCorruptError, BlobNotFoundError):
            _log.error("stored features are damaged", scope=place.tenant_id, blob=sha256)


def _unpacked(content: bytes, sha256: str, width: int) -> Iterator[tuple[str, Halves]]:
    """Return a pack's images and features; raises `BlobCorruptError` for what is no whole pack."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BlobCorruptError(sha256)
    try:
        end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        names = json.loads(json.loads(content[_LENGTH_BYTES:end])["__metadata__"]["images"])
        features = load(content)["features"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BlobCorruptError(sha256) from error
    if features.shape != (len(names), width):
        raise BlobCorruptError(sha256)
    return zip(names, features.astype(np.float16), strict=True)
