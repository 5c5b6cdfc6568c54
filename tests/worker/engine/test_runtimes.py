"""Every runtime gives what torch gives on the CPU, and runs out of memory as torch does."""

from pathlib import Path

import pytest
import torch

from worker.engine import runtimes
from worker.engine.backbone import Backbone
from worker.engine.data import Image
from worker.engine.export import graph
from worker.engine.preprocess import batches, settings_of
from worker.engine.runtimes import Eager, OnDevice, Onnx, Runtime


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


@pytest.mark.parametrize("compiler", [None, "aot_eager"])
def test_a_device_gives_the_same_features(
    backbone: Backbone, images: list[Image], compiler: str | None
) -> None:
    """A host with a GPU would train heads on features that no other host computes.

    The code is the GPU's; the device is the one that is here, and the compiler writes no C++.
    """
    there = OnDevice(backbone, torch.device("cpu"), compiler)
    for batch in batches(images[:7], settings_of(backbone.record), 4):
        _alike(backbone, there, batch.pixels)
        assert not there.features(batch.pixels).is_inference()
    assert all(one.device.type == "cpu" for one in backbone.module.parameters())


def test_a_device_computes_in_full_precision(backbone: Backbone) -> None:
    """Rounded to 10 bits, as a GPU's convolutions are unless told not to, they miss the mark."""
    seen = []
    pixels = torch.zeros(1, 3, 224, 224)
    there = OnDevice(backbone, torch.device("cpu"))
    there.features(pixels)  # the copy of the network is made, and kept
    kept = runtimes._moved(backbone.module, torch.device("cpu"), None)
    before = torch.backends.cudnn.allow_tf32
    hook = kept.register_forward_pre_hook(
        lambda *_: seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cudnn.enabled))
    )
    try:
        there.features(pixels)
    finally:
        hook.remove()
    assert seen == [(False, True)]
    assert torch.backends.cudnn.allow_tf32 == before


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
    here = torch.device("cpu")
    devices = (OnDevice(backbone, here, compiler) for compiler in ("inductor", "aot_eager"))
    every: list[Runtime] = [Eager(backbone), Onnx(1280, Path), *devices]
    profiles = {one.profile for one in every}
    assert len(profiles) == 4
    assert all(f"torch {torch.__version__.split('+')[0]}" in profile for profile in profiles)
