"""Every architecture is cut where its record says, and what lies before a cut stays frozen."""

import pytest
import torch
from torch import nn

from regraft.contract.catalog import BACKBONES
from worker.engine import backbone as backbones
from worker.engine.backbone import Backbone
from worker.engine.training.network import Network
from worker.engine.training.objective import Batch, CrossEntropy, soft_targets
from worker.engine.training.optimiser import optimiser

pytestmark = pytest.mark.usefixtures("one_thread")
_FIXED_SIZE = {"vit_b_16": 224}


@pytest.mark.parametrize("name", BACKBONES)
def test_an_architecture_is_built_frozen_at_each_cut_and_trained(name: str) -> None:
    """A backbone of the catalogue would fail in a merchant's job, or be changed where frozen."""
    record = BACKBONES[name]
    torch.manual_seed(0)
    module = backbones._architecture(record)
    assert sum(one.numel() for one in module.parameters()) == record.num_parameters
    module.set_submodule(record.classifier, nn.Identity())
    network = Network(Backbone(record, module.eval()), 3)
    size = _FIXED_SIZE.get(name, 64)
    pixels = torch.randn(2, 3, size, size)
    _is_the_chain_of_its_pieces(network, pixels)
    for cut in range(len(network.pieces)):
        _is_frozen_up_to(network, cut)
    _learns_behind_the_cut_alone(network, len(record.stages) // 2, pixels)


def _is_the_chain_of_its_pieces(network: Network, pixels: torch.Tensor) -> None:
    network.eval()
    with torch.no_grad():
        whole = network.backbone(pixels)
        assert torch.equal(network.features(pixels), whole)
    assert whole.shape == (2, network.record.num_features)
    assert [piece.name for piece in network.pieces] == [*network.record.stages, "end"]
    for name in network.backbone.state_dict():
        assert sum(piece.has(name) for piece in network.pieces) == 1, name


def _is_frozen_up_to(network: Network, cut: int) -> None:
    network.train_from(cut)
    frozen, trained = network.pieces[:cut], network.pieces[cut:]
    for name, parameter in network.backbone.named_parameters():
        assert parameter.requires_grad == any(piece.has(name) for piece in trained)
    training = [name for name, one in network.backbone.named_modules() if one.training]
    assert not any(piece.has(name) for piece in frozen for name in training)


def _learns_behind_the_cut_alone(network: Network, cut: int, pixels: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in network.backbone.state_dict().items()}
    nn.init.normal_(network.head.weight)
    network.train_from(cut)
    chosen = optimiser(network, CrossEntropy(), 1e-2, 1.0)
    targets = soft_targets(torch.tensor([0, 1]), 3, 0.0)
    batch = Batch(pixels, 0, targets, torch.zeros(2), 0.0)
    torch.autograd.backward(CrossEntropy()(network, batch))
    chosen.step()
    after = network.backbone.state_dict()
    frozen = {name for name in after if any(piece.has(name) for piece in network.pieces[:cut])}
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert any(not torch.equal(before[name], after[name]) for name in after.keys() - frozen)
