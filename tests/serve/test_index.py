"""Nearest vectors: exact in small sets, and with the recall that is stated in large ones."""

import numpy as np
import pytest

from serve.index import NEIGHBOURS, WANTED_RECALL, Halves, Index, normalised, shared


def clustered(count: int, width: int = 32, clusters: int = 40, seed: int = 0) -> Halves:
    """Return vectors around centres, as features of products are."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(clusters, width))
    rows = centres[chance.integers(clusters, size=count)] + chance.normal(size=(count, width))
    return rows.astype(np.float16)


def true_neighbours(vectors: Halves, queries: Halves, count: int) -> np.ndarray:
    """Return the rows [n, count] of largest cosine, by NumPy alone."""
    cosines = normalised(queries) @ normalised(vectors).T
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count]


def test_a_small_set_is_compared_whole() -> None:
    """The most similar product of a small shop would not be found."""
    vectors, queries = clustered(500), clustered(20, seed=1)
    index = Index(vectors, exact_up_to=500)
    assert (index.exact, index.recall) == (True, 1.0)
    for query, rows in zip(queries, true_neighbours(vectors, queries, 5), strict=True):
        found = index.nearest(query.astype(np.float32), 5)
        cosines = normalised(vectors[found.rows]) @ normalised(query[None])[0]
        assert found.scores == pytest.approx(cosines, abs=2e-3)
        assert len(set(rows) & set(found.rows)) >= 4  # fp16 may exchange equals


def test_the_length_of_a_vector_says_nothing() -> None:
    """A brighter photo of the same product would be further away."""
    vectors = clustered(50)
    found = Index(vectors, exact_up_to=50).nearest(3 * vectors[7].astype(np.float32), 1)
    assert found.rows.tolist() == [7]
    assert found.scores[0] == pytest.approx(1.0, abs=2e-3)


def test_a_large_set_states_the_recall_that_it_has() -> None:
    """A merchant would be told a recall that other photos do not see."""
    vectors, queries = np.split(clustered(6050), [6000])
    index = Index(vectors, exact_up_to=100)
    assert not index.exact
    assert WANTED_RECALL <= index.recall <= 1.0
    true = true_neighbours(vectors, queries, NEIGHBOURS)
    found = np.stack([index.nearest(one.astype(np.float32), NEIGHBOURS).rows for one in queries])
    assert shared(true, found) == pytest.approx(index.recall, abs=0.1)


def test_a_vector_without_length_harms_nobody() -> None:
    """One black photo would make every answer not a number."""
    vectors = clustered(20)
    vectors[3] = 0
    found = Index(vectors, exact_up_to=20).nearest(np.zeros(32, dtype=np.float32), 30)
    assert len(found.rows) == 20
    assert np.isfinite(found.scores).all()
