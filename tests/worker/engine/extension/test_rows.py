"""Rows for new labels: the old ones stay, and the scale is the likeliest one."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from worker.engine.extension.rows import Examples, common_part, crossed, extended, fit_scale
from worker.engine.head import Head

WIDTH = 16
pytestmark = pytest.mark.usefixtures("one_thread")


def _examples(first: int, classes: int, count: int, seed: int, spread: float = 0.3) -> Examples:
    """Return images around a centre for each class."""
    chance = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, WIDTH, generator=torch.Generator().manual_seed(first + 100))
    labels = torch.arange(classes).repeat_interleave(count)
    noise = spread * torch.randn(len(labels), WIDTH, generator=chance)
    features = centres[labels] + noise + 2
    return Examples(features, labels + first, torch.arange(len(labels)))


def _head(old: Examples) -> Head:
    """Return a head whose rows are the classes' means."""
    rows = [
        old.features[old.labels == number].mean(dim=0)
        for number in old.labels.bincount().nonzero()[:, 0]
    ]
    weight = torch.stack(rows)
    return Head(weight, -0.5 * weight.square().sum(dim=1), None)


def _loss(logits: Tensor, scores: Tensor, labels: Tensor, scale: float, offset: float) -> float:
    """Return what is minimised, computed apart."""
    whole = np.concatenate([logits.numpy(), scale * scores.numpy() + offset], axis=1)
    chances = np.exp(whole - whole.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    total, classes = 0.0, whole.shape[1]
    for number in range(classes):
        rows = chances[labels.numpy() == number]
        if not len(rows):
            continue
        doubt = 1 / (len(rows) + 2)
        target = np.full(classes, doubt / (classes - 1))
        target[number] = 1 - doubt
        total -= (np.log(rows) * target).sum(axis=1).mean()
    return total


@given(st.integers(0, 10_000), st.integers(1, 3), st.floats(0.2, 3.0))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_other_scale_is_likelier(seed: int, num_new: int, spread: float) -> None:
    """The new label would swallow the others, or never win."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(3 + num_new).repeat(6)
    logits = spread * torch.randn(len(labels), 3, generator=chance, dtype=torch.float64)
    scores = torch.randn(len(labels), num_new, generator=chance, dtype=torch.float64)
    scores += (labels[:, None] == torch.arange(num_new) + 3).double()
    scale, offset = fit_scale(logits, scores, labels)
    best = _loss(logits, scores, labels, scale, offset)
    assert scale >= 0
    for other in ((scale * 1.02 + 0.01, offset), (scale * 0.98, offset), (scale, offset - 0.02)):
        assert best <= _loss(logits, scores, labels, *other) + 1e-9
    assert best <= _loss(logits, scores, labels, scale, offset + 0.02) + 1e-9


def test_known_rows_stay_bit_for_bit() -> None:
    """A model that was approved would answer otherwise among the labels it knew."""
    old, new = _examples(0, 4, 10, seed=1), _examples(4, 2, 5, seed=2)
    head = _head(old)
    made = extended(head, new, old, common_part(old.features, old.labels)).head
    assert torch.equal(made.weight[:4], head.weight)
    assert torch.equal(made.bias[:4], head.bias)
    assert made.weight.shape == (6, WIDTH)


def test_unseen_images_of_old_and_new_labels_are_told_apart() -> None:
    """Five photos would not be enough for what they are enough for."""
    old, new = _examples(0, 4, 10, seed=1), _examples(4, 2, 5, seed=2)
    made = extended(_head(old), new, old, common_part(old.features, old.labels)).head
    for unseen in (_examples(0, 4, 50, seed=3), _examples(4, 2, 50, seed=4)):
        right = made.logits(unseen.features).argmax(dim=1) == unseen.labels
        assert float(right.double().mean()) > 0.9


def test_a_label_that_looks_like_a_known_one_is_seen_in_the_crossed_answers() -> None:
    """Images would speak for themselves, and a copy of a known label would look like a gain."""
    old = _examples(0, 4, 20, seed=1)
    copy = _examples(0, 4, 10, seed=5).where(torch.arange(40) < 10)
    new = copy._replace(labels=torch.full_like(copy.labels, 4))
    common = common_part(old.features, old.labels)
    parts = torch.arange(10) % 5, torch.arange(80) % 5
    logits, others = crossed(_head(old), new, old, common, parts)
    recalled = float((logits.argmax(dim=1) == 4).double().mean())
    lost = float((others.argmax(dim=1) != old.labels)[old.labels == 0].double().mean())
    assert recalled < 0.9 or lost > 0.1


@pytest.mark.parametrize("unit", [0, 1])
def test_an_image_is_not_scored_by_its_own_product(unit: int) -> None:
    """Three photos of one product would vouch for each other."""
    old, new = _examples(0, 3, 10, seed=1), _examples(3, 1, 6, seed=2, spread=2.0)
    paired = new._replace(units=torch.tensor([0, 0, 0, 1, 1, 1]))
    common = common_part(old.features, old.labels)
    alone = extended(_head(old), new, old, common)
    together = extended(_head(old), paired, old, common)
    assert alone.scale != together.scale
    assert (paired.units == unit).sum() == 3
