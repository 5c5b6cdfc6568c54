"""Search over synthetic vectors: how long it takes, and how many true neighbours it finds.

Vectors lie around random centres, ten to a centre, as photos of products do. Queries are drawn
around the same centres and are not in the set. May import numpy and serve.index.
"""

import math
import time
from typing import Any

import numpy as np

from serve.index import NEIGHBOURS, Halves, Index, Numbers, normalised, shared
from serve.settings import ServeSettings
from worker.engine.shipped.predict import Floats

_WIDTH = 1280  # of EfficientNet-Lite0
_QUERIES = 100
_OF_A_CENTRE = 10
_SPREAD = 0.6  # of a vector around its centre, to the centre's own length
_BLOCK = 50_000
_REPEATS = 3


def measure(sizes: tuple[int, ...], width: int = _WIDTH) -> list[dict[str, Any]]:
    """Return what is measured of sets of these sizes, the way that the service would hold them."""
    return [_of_size(size, width) for size in sizes]


def _of_size(size: int, width: int) -> dict[str, Any]:
    vectors, queries = _drawn(size, width)
    started = time.perf_counter()
    index = Index(vectors, exact_up_to=ServeSettings().exact_vectors)
    built = time.perf_counter() - started
    times: list[float] = []
    rows: list[Numbers] = []
    for _ in range(_REPEATS):
        rows = []
        for query in queries:
            started = time.perf_counter()
            rows.append(index.nearest(query, NEIGHBOURS).rows)
            times.append(1000 * (time.perf_counter() - started))
    return {
        "vectors": size,
        "dimensions": width,
        "exact": index.exact,
        "recall_stated": round(index.recall, 4),
        "recall_of_other_queries": round(shared(_true(vectors, queries), np.stack(rows)), 4),
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p99_ms": round(float(np.percentile(times, 99)), 2),
        "build_seconds": round(built, 1),
        "bytes": index.num_bytes,
    }


def _drawn(size: int, width: int) -> tuple[Halves, Floats]:
    """Return a set [size, width], and queries around the same centres."""
    chance = np.random.default_rng(size)
    centres = chance.standard_normal((max(1, size // _OF_A_CENTRE), width), dtype=np.float32)
    spread = np.float32(_SPREAD)
    vectors = np.empty((size, width), dtype=np.float16)
    for start in range(0, size, _BLOCK):
        some = vectors[start : start + _BLOCK]
        which = chance.integers(len(centres), size=len(some))
        some[:] = centres[which] + spread * chance.standard_normal(some.shape, dtype=np.float32)
    which = chance.integers(len(centres), size=_QUERIES)
    around = spread * chance.standard_normal((_QUERIES, width), dtype=np.float32)
    return vectors, centres[which] + around


def _true(vectors: Halves, queries: Floats) -> Numbers:
    """Return the rows [n, k] of the largest cosines, every vector compared in float32."""
    asked = normalised(queries)
    best = np.full((len(asked), NEIGHBOURS), -math.inf, dtype=np.float32)
    rows = np.zeros((len(asked), NEIGHBOURS), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        cosines = asked @ normalised(vectors[start : start + _BLOCK]).T
        numbers = np.broadcast_to(np.arange(start, start + cosines.shape[1]), cosines.shape)
        scores, places = np.hstack([best, cosines]), np.hstack([rows, numbers])
        kept = np.argsort(-scores, axis=1)[:, :NEIGHBOURS]
        best = np.take_along_axis(scores, kept, axis=1)
        rows = np.take_along_axis(places, kept, axis=1)
    return rows
