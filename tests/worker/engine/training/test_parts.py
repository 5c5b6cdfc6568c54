"""The small parts of a training: batches, rates, targets, chance, pulls."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from worker.engine.training.chance import seeded
from worker.engine.training.objective import mixed, soft_targets
from worker.engine.training.optimiser import Pull, apply_pulls
from worker.engine.training.sampler import batches
from worker.engine.training.schedule import rate_factor


@given(st.integers(2, 70), st.integers(1, 20), st.integers(0, 5))
def test_an_epoch_shows_each_image_once(count: int, size: int, epoch: int) -> None:
    """Images would be forgotten, or a resumed epoch would be another."""
    labels = torch.zeros(count, dtype=torch.int64)
    found = batches(labels, size, class_balanced=False, seed=3, epoch=epoch)
    assert sorted(torch.cat(found).tolist()) == list(range(count))
    assert all(len(one) <= size for one in found)
    again = batches(labels, size, class_balanced=False, seed=3, epoch=epoch)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


def test_balanced_batches_show_a_rare_class_as_often() -> None:
    """The rare product would never be answered."""
    labels = torch.tensor([0] * 990 + [1] * 10)
    drawn = torch.cat(batches(labels, 50, class_balanced=True, seed=0, epoch=0))
    assert len(drawn) == 1000
    assert 0.42 < float((labels[drawn] == 1).double().mean()) < 0.58


@pytest.mark.parametrize("num_steps", [1, 2, 7, 100])
def test_the_rate_warms_up_and_fades(num_steps: int) -> None:
    """A full rate on the first step destroys what was pretrained."""
    factors = [rate_factor(step, num_steps) for step in range(num_steps)]
    assert all(0 < factor <= 1 for factor in factors)
    if num_steps == 100:
        assert factors[0] < 0.1
        assert max(factors) == factors[10] == 1
        assert factors[10:] == sorted(factors[10:], reverse=True)
        assert factors[-1] < 0.02


def test_smoothed_targets_are_those_of_torch() -> None:
    """The option would mean something else than everywhere."""
    logits, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 3])
    ours = nn.functional.cross_entropy(logits, soft_targets(labels, 4, 0.2))
    theirs = nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
    assert torch.allclose(ours, theirs)


def test_mixup_mixes_pictures_and_labels_alike() -> None:
    """A mixture with another label than its picture teaches nonsense."""
    targets = soft_targets(torch.tensor([0, 1, 2, 3]), 4, 0.0)
    sides = torch.zeros(4, dtype=torch.int64)
    with seeded(0, "test", 1):
        inputs, answers = mixed(targets.clone(), targets, sides, 1.0)
    assert torch.equal(inputs, answers)
    assert not torch.equal(inputs, targets)
    assert torch.allclose(answers.sum(dim=1), torch.ones(4))
    assert mixed(targets, targets, sides, 0.0)[0] is targets


def test_mixup_keeps_to_a_side() -> None:
    """A mixture of both domains would be aligned as one of them."""
    sides = torch.tensor([0, 1, 2] * 20)
    with seeded(0, "test", 1):
        _, found = mixed(torch.rand(60, 2), nn.functional.one_hot(sides, 3).float(), sides, 1.0)
    assert torch.equal(found, nn.functional.one_hot(sides, 3).float())


def test_chance_depends_on_the_place_alone() -> None:
    """A resumed training would draw other crops than the unbroken one."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with seeded(7, "step", 3):
        first = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    with seeded(7, "step", 3):
        assert torch.equal(torch.rand(4), first)
    with seeded(7, "step", 4):
        assert not torch.equal(torch.rand(4), first)


@given(st.floats(0, 1e9), st.floats(-5, 5), st.floats(-5, 5))
def test_a_pull_is_the_minimiser_it_claims_to_be(
    strength: float, start: float, target: float
) -> None:
    """L2-SP would hold the weights somewhere between the formula and chance."""
    rate = 0.01
    parameter = nn.Parameter(torch.tensor([start], dtype=torch.float64))
    chosen = torch.optim.SGD([parameter], lr=rate)
    goal = torch.tensor([target], dtype=torch.float64)
    apply_pulls([Pull(parameter, goal, strength)], chosen)
    found = float(parameter.detach())
    assert found == pytest.approx(
        (start + 2 * rate * strength * target) / (1 + 2 * rate * strength), abs=1e-9
    )
    slope = 2 * strength * (found - target) + (found - start) / rate
    assert abs(slope) <= 1e-6 * (1 + strength + 1 / rate)


def test_a_pull_of_nothing_is_nothing_to_the_bit() -> None:
    """Fine-tuning with alpha 0 would not be plain fine-tuning."""
    values = torch.from_numpy(np.random.default_rng(0).normal(size=100).astype(np.float32))
    parameter = nn.Parameter(values.clone())
    chosen = torch.optim.SGD([parameter], lr=0.1)
    apply_pulls([Pull(parameter, torch.ones(100), 0.0)], chosen)
    assert torch.equal(parameter.detach(), values)
    apply_pulls([Pull(parameter, torch.ones(100), 1e12)], chosen)
    assert torch.allclose(parameter.detach(), torch.ones(100), atol=1e-6)
