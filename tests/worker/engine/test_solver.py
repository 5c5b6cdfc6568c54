"""The batched solver finds what scikit-learn finds, for every problem of the batch."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn import linear_model
from torch import Tensor

from worker.engine.data import Image
from worker.engine.features import Features
from worker.engine.head import basis_of
from worker.engine.solver import Problems, solve

_ORACLE: Any = linear_model.LogisticRegression
PENALTIES = (1e-4, 1e-2, 1.0)


@pytest.fixture(scope="module")
def real(features: Features, images: list[Image]) -> tuple[Tensor, Tensor]:
    """Coordinates and class numbers of the sample's real features."""
    names = sorted({image.label or "" for image in images})
    labels = torch.tensor([names.index(image.label or "") for image in images])
    found = features.of(images)
    return basis_of(found).coordinates(found), labels


def _objective(
    weights: Tensor, biases: Tensor, inputs: Tensor, labels: Tensor, decay: float
) -> float:
    logits = inputs @ weights.T + biases
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return float(loss + decay / 2 * weights.square().sum())


def test_each_problem_ends_where_scikit_learn_does(real: tuple[Tensor, Tensor]) -> None:
    """The head would be another model than the documented one."""
    inputs, labels = real
    masks = torch.ones(len(PENALTIES) * 2, len(labels))
    masks[3:, ::3] = 0
    penalties = torch.tensor([*PENALTIES, *PENALTIES], dtype=torch.float64)
    found = solve(Problems(inputs, labels, masks, penalties, 4), tolerance=1e-8)
    assert found.residuals.max() <= 1e-8
    for row, penalty in enumerate(penalties.tolist()):
        kept = masks[row] > 0
        x, y = inputs[kept], labels[kept]
        oracle: Any = _ORACLE(C=1 / (penalty * len(y)), tol=1e-10, max_iter=10_000)
        oracle.fit(x.numpy(), y.numpy())
        coef, bias = torch.from_numpy(oracle.coef_), torch.from_numpy(oracle.intercept_)
        ours = _objective(found.weights[row], found.biases[row], x, y, penalty)
        assert ours == pytest.approx(_objective(coef, bias, x, y, penalty), rel=1e-8)
        assert torch.allclose(found.weights[row], coef, atol=1e-3 * float(coef.abs().max()))
        chances = found.logits[row].softmax(dim=1).numpy()
        assert np.abs(chances - oracle.predict_proba(inputs.numpy())).max() < 1e-3


def test_single_precision_scores_alike(real: tuple[Tensor, Tensor]) -> None:
    """The grid is searched in float32: a wrong winner would be trained in float64."""
    inputs, labels = real
    masks, penalties = torch.ones(3, len(labels)), torch.tensor(PENALTIES)
    exact = solve(Problems(inputs, labels, masks, penalties.double(), 4), tolerance=1e-8)
    quick = solve(Problems(inputs.float(), labels, masks, penalties, 4), tolerance=1e-4)
    exact_chances, quick_chances = exact.logits.softmax(2), quick.logits.softmax(2)
    assert (exact_chances - quick_chances).abs().max() < 2e-2
    assert quick.iterations < 60


def test_neighbours_in_a_batch_do_not_matter(real: tuple[Tensor, Tensor]) -> None:
    """A score would depend on which other penalties were tried."""
    inputs, labels = real
    masks, penalties = torch.ones(3, len(labels)), torch.tensor(PENALTIES, dtype=torch.float64)
    together = solve(Problems(inputs, labels, masks, penalties, 4), tolerance=1e-8)
    alone = solve(Problems(inputs, labels, masks[:1], penalties[:1], 4), tolerance=1e-8)
    assert torch.allclose(together.logits[0], alone.logits[0], atol=1e-4)


def test_the_same_problem_gives_the_same_bits(real: tuple[Tensor, Tensor]) -> None:
    """Two runs of one job would deliver two models."""
    inputs, labels = real
    problem = Problems(inputs, labels, torch.ones(1, len(labels)), torch.tensor([1e-3]), 4)
    assert torch.equal(solve(problem).weights, solve(problem).weights)


def test_a_stop_and_a_limit_end_the_solve_with_what_there_is(real: tuple[Tensor, Tensor]) -> None:
    """A stopped job would have no model, or would not stop."""
    inputs, labels = real
    problem = Problems(inputs, labels, torch.ones(1, len(labels)), torch.tensor([1e-4]), 4)
    limited = solve(problem, max_iterations=3)
    stopped = solve(problem, go_on=lambda iteration: iteration < 3)
    assert limited.iterations == stopped.iterations == 3
    assert torch.equal(limited.weights, stopped.weights)
    right = (limited.logits[0].argmax(dim=1) == labels).double().mean()
    assert right > 0.7


def test_a_penalty_without_end_leaves_the_class_shares() -> None:
    """A strong penalty must fall back to how common the classes are, not to noise."""
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    problem = Problems(inputs, labels, torch.ones(1, 8), torch.tensor([1e6]), 2)
    chances = solve(problem, tolerance=1e-9).logits[0].softmax(dim=1)
    assert chances[:, 0].tolist() == pytest.approx([0.75] * 8, abs=1e-4)


def test_a_weight_of_three_is_three_rows(real: tuple[Tensor, Tensor]) -> None:
    """A weighted image would count for something else than it says."""
    inputs, labels = real
    weights = (torch.arange(len(labels)) % 4).double()
    repeated = torch.repeat_interleave(torch.arange(len(labels)), weights.long())
    penalties = torch.tensor([1e-2], dtype=torch.float64)
    found = solve(Problems(inputs, labels, weights[None], penalties, 4), tolerance=1e-9)
    rows = Problems(inputs[repeated], labels[repeated], torch.ones(1, len(repeated)), penalties, 4)
    expected = solve(rows, tolerance=1e-9)
    assert torch.allclose(found.weights, expected.weights, atol=1e-6)
    assert torch.allclose(found.biases, expected.biases, atol=1e-6)
