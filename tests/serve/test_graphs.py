"""The backbone of a model, with its features as the output."""

import numpy as np
import pytest

from serve.graphs import Graph, UnusableGraphError, features_patch
from tests.support.served import SIDE, is_valid, onnx_features, tiny_backbone
from worker.engine.export import graph


@pytest.mark.parametrize("num_features", [1, 127, 128, 1280, 2048, 300_000])
def test_the_patch_is_the_exports_own_to_the_byte(num_features: int) -> None:
    """A mistake in the bytes would show as a model that does not load, or another shape."""
    assert features_patch(num_features) == graph.features_patch(num_features)


def test_features_are_those_of_the_model() -> None:
    """Heads were trained on these features and no others."""
    backbone = tiny_backbone()
    is_valid(backbone + features_patch(3))
    tensors = np.random.default_rng(0).normal(size=(5, 3, SIDE, SIDE)).astype(np.float32)
    loaded = Graph(backbone, 3, 1)
    assert loaded.side == SIDE
    assert np.array_equal(loaded.features(tensors), onnx_features(backbone, 3, tensors))


@pytest.mark.parametrize("content", [b"", b"nonsense", tiny_backbone()[:40]])
def test_what_is_no_backbone_is_refused(content: bytes) -> None:
    """A damaged file must be an error that names it, not a crash."""
    with pytest.raises(UnusableGraphError):
        Graph(content, 3, 1)
