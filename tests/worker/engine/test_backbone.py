"""The backbone is the published one, frozen whole."""

from pathlib import Path

import pytest
import torch

from regraft.contract.catalog import BACKBONES
from tests.worker.engine.conftest import TrainedRun
from worker.engine import weights
from worker.engine.backbone import Backbone, prepared, untrained


def test_a_run_leaves_every_number_of_the_backbone_as_published(
    trained: TrainedRun, backbone: Backbone
) -> None:
    """Batch-norm in training mode changes a frozen backbone silently: the usual mistake."""
    assert trained.spec.spec.base.backbone == backbone.record.name
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
