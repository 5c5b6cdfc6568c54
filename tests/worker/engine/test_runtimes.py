"""ONNX Runtime gives what torch gives, and runs out of memory as torch does."""

from pathlib import Path

import pytest
import torch

from worker.engine.backbone import Backbone
from worker.engine.data import Image
from worker.engine.export import graph
from worker.engine.preprocess import batches, settings_of
from worker.engine.runtimes import Eager, Onnx, Runtime


def _alike(backbone: Backbone, other: Runtime, pixels: torch.Tensor) -> None:
    expected = Eager(backbone).features(pixels)
    found = other.features(pixels)
    assert found.dtype == torch.float32
    assert found.shape == (len(pixels), backbone.record.num_features)
    allowed = graph.BACKBONE_TOLERANCE * max(1.0, float(expected.abs().max()))
    assert float((found - expected).abs().max()) <= allowed


def test_photos_give_the_features_that_torch_gives(
    exported: Path, backbone: Backbone, images: list[Image]
) -> None:
    """Heads would be trained on other features than the delivered model computes."""
    onnx = Onnx(1280, lambda: exported)
    for batch in batches(images[:24], settings_of(backbone.record), 10):
        _alike(backbone, onnx, batch.pixels)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_number_of_images_passes(exported: Path, backbone: Backbone, count: int) -> None:
    """The last batch of a dataset is hardly ever full."""
    pixels = torch.rand(count, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    if not count:
        assert Onnx(1280, lambda: exported).features(pixels).shape == (0, 1280)
        return
    _alike(backbone, Onnx(1280, lambda: exported), pixels)


def test_the_graph_is_not_asked_for_before_it_is_needed() -> None:
    """A job whose features are all cached would export a backbone for nothing."""

    def graph_path() -> Path:
        raise AssertionError("asked for")

    onnx = Onnx(1280, graph_path)
    assert "onnxruntime" in onnx.profile
    with pytest.raises(AssertionError, match="asked for"):
        onnx.features(torch.zeros(1, 3, 224, 224))


def test_profiles_differ(backbone: Backbone) -> None:
    """Features of two runtimes would be mixed in one cache."""
    profiles = {Eager(backbone).profile, Onnx(1280, Path).profile}
    assert len(profiles) == 2
    assert all(f"torch {torch.__version__.split('+')[0]}" in profile for profile in profiles)
