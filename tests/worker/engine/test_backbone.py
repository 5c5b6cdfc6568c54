"""The backbone is the published one, or a model's own: frozen whole, loaded whole."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from tests.worker.engine.conftest import TrainedRun
from worker.engine import weights
from worker.engine.backbone import Backbone, of_model, own, prepared, untrained
from worker.engine.failures import EngineError
from worker.engine.features import cache_of
from worker.engine.runspec import BaseModelFile


def test_a_run_leaves_every_number_of_the_backbone_as_published(
    trained: TrainedRun, backbone: Backbone
) -> None:
    """Batch-norm in training mode changes a frozen backbone silently: the usual mistake."""
    assert trained.spec.backbones == [backbone.record.name]
    weights.check_tensors(backbone.record, Path("memory"), backbone.module.state_dict())
    assert not any(module.training for module in backbone.module.modules())
    assert not any(parameter.requires_grad for parameter in backbone.module.parameters())


def test_a_warm_process_builds_the_backbone_once() -> None:
    """Each job would pay for loading and hashing tensors again."""
    first = prepared("efficientnet_lite0", None)
    assert prepared("efficientnet_lite0", None).module is first.module


def test_random_weights_are_drawn_by_seed_and_leave_other_chance_alone() -> None:
    """The comparison would change with what ran before it, and change what runs after it."""
    record = BACKBONES["efficientnet_lite0"]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again = untrained(record, 3, 1), untrained(record, 3, 1)
    assert torch.equal(torch.get_rng_state(), before)
    other = untrained(record, 3, 2)
    assert torch.equal(first.conv_stem.weight, again.conv_stem.weight)  # type: ignore[union-attr, arg-type]
    assert not torch.equal(first.conv_stem.weight, other.conv_stem.weight)  # type: ignore[union-attr, arg-type]


def test_the_features_have_the_size_the_catalogue_says(backbone: Backbone) -> None:
    """A job's head would not fit."""
    pixels = torch.zeros(2, 3, backbone.record.input_size, backbone.record.input_size)
    with torch.inference_mode():
        assert backbone.module(pixels).shape == (2, backbone.record.num_features)
    with pytest.raises(KeyError):
        prepared("unheard_of", None)


def _saved(folder: Path, trained: TrainedRun, **changed: torch.Tensor | None) -> BaseModelFile:
    """Write the trained run's weights with some tensors changed, or left out for null."""
    state = {**load_file(trained.folder / "model.safetensors"), **changed}
    path = folder / "model.safetensors"
    save_file({name: value for name, value in state.items() if value is not None}, path)
    return BaseModelFile(backbone="efficientnet_lite0", weights=path)


def test_a_frozen_models_backbone_is_the_published_one(
    trained: TrainedRun, backbone: Backbone, tmp_path: Path
) -> None:
    """Features that every job shares would be computed again, and stored again with each model."""
    found = of_model(_saved(tmp_path, trained), None)
    # Other tests may have pushed the fixture's own out of the cache.
    assert found.module is prepared(backbone.record.name, None).module
    assert cache_of(found, tmp_path).key == cache_of(backbone, tmp_path).key


def test_a_fine_tuned_models_backbone_is_its_own(
    trained: TrainedRun, backbone: Backbone, tmp_path: Path
) -> None:
    """A warm-started job would read the published backbone's features in place of its own."""
    moved = {"conv_head.weight": backbone.module.state_dict()["conv_head.weight"] + 0.1}
    found = of_model(_saved(tmp_path, trained, **moved), None)
    assert found.own_weights is not None
    assert cache_of(found, tmp_path).key != cache_of(backbone, tmp_path).key
    state = found.module.state_dict()
    assert torch.equal(state["conv_head.weight"], moved["conv_head.weight"])
    assert own(found.record, found.module) == found
    assert not any(module.training for module in found.module.modules())
    assert not any(parameter.requires_grad for parameter in found.module.parameters())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"bn1.running_var": None}, "1 tensors are missing: bn1.running_var"),
        ({"stem.weight": torch.zeros(1)}, "1 tensors are unknown: stem.weight"),
        ({"classifier.bias": None}, "1 tensors are missing: classifier.bias"),
        ({"bn1.running_var": torch.zeros(3)}, "bn1.running_var"),
    ],
)
def test_a_base_models_tensors_are_exactly_its_backbones(
    trained: TrainedRun, tmp_path: Path, changed: dict[str, torch.Tensor | None], words: str
) -> None:
    """A layer that is not loaded would keep random weights, and nobody would see it."""
    with pytest.raises(EngineError, match=words) as caught:
        of_model(_saved(tmp_path, trained, **changed), None)
    assert (caught.value.code, caught.value.param) == (ErrorCode.VALIDATION_FAILED, "base.model")


def test_a_base_model_must_be_a_weight_file(tmp_path: Path) -> None:
    """A job would end in a stack trace."""
    path = tmp_path / "model.safetensors"
    for content in (None, b"not tensors"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(EngineError) as caught:
            of_model(BaseModelFile(backbone="resnet18", weights=path), None)
        assert caught.value.param == "base.model"
