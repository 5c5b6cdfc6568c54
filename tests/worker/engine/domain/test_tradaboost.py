"""TrAdaBoost's weights are those of a round computed by hand."""

import math

import pytest
import torch
from torch import Tensor

from worker.engine.domain.tradaboost import boosted, reweighted

IS_SOURCE = torch.tensor([True, True, True, True, False, False, False, False])


def test_a_round_of_two_classes_is_dais() -> None:
    """Weights would go up where they should go down."""
    wrong = torch.tensor([[True, False, False, True, True, False, False, False]])
    found = reweighted(torch.ones(1, 8), wrong, IS_SOURCE, num_classes=2, num_rounds=10)
    # One of four target images is wrong: e = 1/4, so its weight is multiplied by 3.
    lowered = 1 / (1 + math.sqrt(2 * math.log(4) / 10))
    by_hand = torch.tensor([lowered, 1, 1, lowered, 3, 1, 1, 1])
    assert torch.allclose(found[0] / found[0, 1], by_hand)
    assert float(found.sum()) == pytest.approx(8)


def test_more_classes_raise_a_mistake_by_one_factor_more() -> None:
    """With c classes chance is 1/c: an error of a half is still a good learner."""
    wrong = torch.tensor([[False, False, False, False, True, True, False, False]])
    two = reweighted(torch.ones(1, 8), wrong, IS_SOURCE, num_classes=2, num_rounds=10)
    assert torch.equal(two, torch.ones(1, 8))
    four = reweighted(torch.ones(1, 8), wrong, IS_SOURCE, num_classes=4, num_rounds=10)
    assert float(four[0, 4] / four[0, 6]) == pytest.approx(3)


def test_a_target_without_mistakes_keeps_its_weights() -> None:
    """A weight would be divided by an error of nothing."""
    wrong = torch.tensor([[True] * 4 + [False] * 4])
    found = reweighted(torch.ones(1, 8), wrong, IS_SOURCE, num_classes=2, num_rounds=10)
    assert bool(found.isfinite().all())
    assert torch.equal(found[0, 4:], found[0, 4].expand(4))
    assert float(found[0, 0]) < float(found[0, 4])


def test_source_points_that_contradict_the_target_fade() -> None:
    """A source of other rules would outvote the target; points left out must stay so."""
    points = torch.arange(8).float()
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 0, 0])
    is_source = torch.tensor([False, False, False, False, True, True, True, True])
    start = torch.ones(2, 8)
    start[1, 7] = 0

    def learn(weights: Tensor) -> Tensor:
        """Answer with a rule that the target keeps and half of the source breaks."""
        return (points >= 2).long().expand(len(weights), 8)

    found = boosted(start, labels, is_source, learn, num_classes=2, num_rounds=10)
    lowered = 1 / (1 + math.sqrt(2 * math.log(4) / 10))
    assert float(found[0, 6]) == pytest.approx(lowered**10)
    assert torch.equal(found[0, :6], torch.ones(6))
    assert float(found[1, 7]) == 0


def test_a_mistake_that_stays_one_does_not_take_over() -> None:
    """One odd photo of ten would be all that the head is fitted to after ten rounds."""
    labels = torch.tensor([0, 0, 0, 1])
    is_source = torch.tensor([False, False, False, False])

    def learn(weights: Tensor) -> Tensor:
        """Answer the same whatever the weights are: the last point is always wrong."""
        return torch.zeros(len(weights), 4).long()

    found = boosted(torch.ones(1, 4), labels, is_source, learn, num_classes=2, num_rounds=10)
    assert torch.equal(found, torch.ones(1, 4))
