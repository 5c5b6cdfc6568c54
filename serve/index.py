"""Nearest vectors by the cosine: every one compared, or the likeliest parts with a known recall.

Vectors are kept as fp16. Above `exact_up_to` of them they lie in about as many lists as the root
of their number (an inverted file: Jegou, Douze, Schmid 2011), and as many lists are looked into as
find 95% of the true neighbours of vectors of the set itself. May import numpy and faiss.
"""

from typing import Any, NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from worker.engine.shipped.predict import Floats

Halves = npt.NDArray[np.float16]
Numbers = npt.NDArray[np.int64]
WANTED_RECALL = 0.95
NEIGHBOURS = 10  # that a recall is about
_ASKED = 64
_BLOCK = 8192
_TRAINED_ON = 40  # vectors for each list
_ROUNDS = 8


class Nearest(NamedTuple):
    """Rows of the set and their cosines, best first."""

    rows: Numbers
    scores: Floats


class Index:
    """A set of vectors [n, d]; `recall` of their true neighbours is found, 1 if it is `exact`."""

    def __init__(self, vectors: Halves, *, exact_up_to: int) -> None:
        """Take in vectors [n, d], n at least 1; a large set is grouped and measured first."""
        self.size, width = vectors.shape
        self.exact = self.size <= exact_up_to
        self.recall = 1.0
        library: Any = faiss
        halves, inner = library.ScalarQuantizer.QT_fp16, library.METRIC_INNER_PRODUCT
        if self.exact:
            self._index = library.IndexScalarQuantizer(width, halves, inner)
        else:
            self._index = self._grouped(library, vectors, halves, inner)
        for start in range(0, self.size, _BLOCK):
            self._index.add(normalised(vectors[start : start + _BLOCK]))
        if not self.exact:
            self.recall = self._measured(vectors)

    @property
    def num_bytes(self) -> int:
        """What the vectors take of memory."""
        return int(self.size * self._index.d * 2)

    def nearest(self, query: Floats, count: int) -> Nearest:
        """Return at most `count` rows nearest to a query [d]."""
        scores, rows = self._index.search(normalised(query[None]), min(count, self.size))
        found = rows[0] >= 0
        return Nearest(rows[0][found], scores[0][found])

    @staticmethod
    def _grouped(library: Any, vectors: Halves, halves: int, inner: int) -> Any:
        lists = max(1, round(len(vectors) ** 0.5))
        width = vectors.shape[1]
        index = library.IndexIVFScalarQuantizer(
            library.IndexFlatIP(width), width, lists, halves, inner, False
        )
        index.cp.niter = _ROUNDS
        index.cp.seed = 0
        chosen = _spread(len(vectors), lists * _TRAINED_ON)
        index.train(normalised(vectors[chosen]))
        return index

    def _measured(self, vectors: Halves) -> float:
        """Look into as many lists as the wanted recall needs, and return what is reached."""
        asked = normalised(vectors[_spread(len(vectors), _ASKED)])
        self._index.nprobe = self._index.nlist
        _, true = self._index.search(asked, NEIGHBOURS + 1)
        recall, looked_into = 0.0, 1
        while looked_into < self._index.nlist:
            self._index.nprobe = looked_into
            _, found = self._index.search(asked, NEIGHBOURS + 1)
            recall = shared(true[:, 1:], found[:, 1:])
            if recall >= WANTED_RECALL:
                return recall
            looked_into *= 2
        self._index.nprobe = self._index.nlist
        return 1.0


def normalised(vectors: Halves | Floats) -> Floats:
    """Return vectors [n, d] at length 1, in float32; one without length stays as it is."""
    wide = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    scaled: Floats = np.ascontiguousarray(wide / np.where(lengths > 0, lengths, 1))
    return scaled


def shared(true: Numbers, found: Numbers) -> float:
    """Return the share of the true neighbours [n, k] that were found, [n, k]."""
    hits = [len(np.intersect1d(one, other)) for one, other in zip(true, found, strict=True)]
    return float(sum(hits) / true.size)


def _spread(size: int, count: int) -> Numbers:
    """Return at most `count` of the rows below `size`, evenly apart."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).astype(np.int64))
