"""What makes a head on plain features out of one on convenient coordinates."""

import math

import pytest
import torch

from worker.engine.head import Head, basis_of, fit_temperature


@pytest.mark.parametrize("shape", [(6, 20), (40, 12)])
def test_coordinates_lose_nothing_and_have_unit_size(shape: tuple[int, int]) -> None:
    """The head would be trained on less than the backbone saw."""
    features = 7 + 3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    basis = basis_of(features)
    inside = basis.coordinates(features)
    assert inside.shape[1] <= min(shape)
    assert float(inside.square().sum(dim=1).mean()) == pytest.approx(1)
    between = torch.cdist(features.double(), features.double()) / basis.scale
    assert torch.allclose(torch.cdist(inside, inside), between, atol=1e-6)


@pytest.mark.parametrize("shape", [(6, 20), (40, 12)])
def test_folding_back_changes_no_logit(shape: tuple[int, int]) -> None:
    """The shipped head would answer otherwise than the trained one."""
    chance = torch.Generator().manual_seed(2)
    features = torch.randn(shape, generator=chance)
    basis = basis_of(features)
    inside = basis.coordinates(features)
    weight = torch.randn(3, inside.shape[1], generator=chance).double()
    bias = torch.randn(3, generator=chance).double()
    head = basis.head(weight, bias, None)
    assert torch.allclose(head.logits(features).double(), inside @ weight.T + bias, atol=1e-4)


def test_features_that_are_all_alike_are_no_division_by_zero() -> None:
    """A dataset of one photo under two names would end in NaN."""
    basis = basis_of(torch.ones(4, 3))
    assert bool(basis.coordinates(torch.ones(4, 3)).isfinite().all())


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_logits_is_found(true: float) -> None:
    """Probabilities would be as wrong after calibration as before."""
    chance = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(20_000, 5, generator=chance)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=chance)[:, 0]
    assert fit_temperature(logits * true, labels) == pytest.approx(true, rel=0.05)


def test_perfect_and_hopeless_logits_keep_the_temperature_finite() -> None:
    """A perfectly separated set would ship infinite weights."""
    labels = torch.tensor([0, 1, 2] * 4)
    right = torch.nn.functional.one_hot(labels, 3).float()
    # Logits 1 and 0: the probability of the class that is right is 13/14 at this temperature.
    assert fit_temperature(right, labels) == pytest.approx(1 / math.log(26), rel=1e-4)
    assert 19 < fit_temperature(-right, labels) < 21


def test_calibrating_changes_no_label_and_is_done_once() -> None:
    """Accuracy would change with the calibration."""
    head = Head(torch.randn(4, 6), torch.randn(4), 2.5)
    features = torch.randn(50, 6)
    shipped = head.calibrated()
    assert torch.allclose(shipped.logits(features) * 2.5, head.logits(features), atol=1e-5)
    assert torch.equal(shipped.calibrated().weight, shipped.weight)
