"""Gradient reversal turns a gradient round and nothing else."""

import math

import pytest
import torch

from worker.engine.domain.reversal import ramp, reversed_gradient


@pytest.mark.parametrize("factor", [1.0, 0.5, 0.0])
def test_the_value_stays_and_the_gradient_is_negated_exactly(factor: float) -> None:
    """Features would be trained to tell the domains apart."""
    chance = torch.Generator().manual_seed(0)
    value = torch.randn(4, 3, generator=chance).requires_grad_()
    weight = torch.randn(4, 3, generator=chance)
    plain = torch.autograd.grad((value.sin() * weight).sum(), value)[0]
    turned = reversed_gradient(value, factor)
    assert torch.equal(turned, value)
    found = torch.autograd.grad((turned.sin() * weight).sum(), value)[0]
    assert torch.equal(found, -factor * plain)


def test_the_ramp_is_ganins() -> None:
    """A discriminator that knows nothing yet would push features about at full strength."""
    assert ramp(0.0) == 0
    assert ramp(0.5) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert 0.9999 < ramp(1.0) < 1
