"""Linear probe: multinomial logistic regression on frozen features, its L2 chosen by folds.

The whole grid x folds is one batched problem (Kornblith et al. 2019 for the protocol).
May import torch and the contract.
"""

import time
from collections.abc import Callable, Sequence
from math import sqrt
from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.intervals import wilson
from regraft.contract.job import Hyperparameters
from regraft.contract.metrics import Candidate
from regraft.contract.strategies import LinearProbe
from worker.engine.adapted import Adapted, LeftOut
from worker.engine.context import Context
from worker.engine.failures import EngineError
from worker.engine.head import Basis, Head, basis_of, fit_temperature
from worker.engine.solver import MAX_ITERATIONS, Problems, Solutions, solve
from worker.engine.strategies.base import Fitted, Task

# Half decades; the penalty is per image, on features whose mean squared norm is 1.
GRID = tuple(10 ** (exponent / 2) for exponent in range(-12, -1))
# Where no class has two images to fold: the best of the grid at 1-10 images a class on
# Fashion-MNIST, within a point of it elsewhere.
DEFAULT_PENALTY = 1e-3
_MAX_ELEMENTS = 2**24  # of one array of the batch: problems x classes x images or dimensions
_GRID_TOLERANCE = 1e-4
_FINAL_TOLERANCE = 1e-6


class Material(NamedTuple):
    """What a head is solved from: features [n, d], class numbers [n], and folds [n].

    A fold of -1 marks an image that is trained on in every fold, and scored in none. `weights`
    [k + 1, n] say how much each image counts: row f where fold f is left out, the last row where
    none is; null counts all alike.
    """

    features: Tensor
    labels: Tensor
    folds: Tensor
    num_classes: int
    weights: Tensor | None = None

    def without(self, fold: int) -> Tensor:
        """Return how much each image counts, [n], where one fold is left out; -1 for none."""
        counts = torch.ones_like(self.labels) if fold < 0 else self.folds != fold
        return counts if self.weights is None else counts * self.weights[fold]


class Solved(NamedTuple):
    """The head, every penalty tried with its score, and what was tried in one sentence.

    `left_out` is what heads of the chosen penalty say of the images they did not see.
    """

    head: Head
    candidates: list[Candidate]
    explanation: str
    left_out: LeftOut | None


class _Scores(NamedTuple):
    """Cross-validation of one penalty: accuracy, log-loss, and the out-of-fold logits [m, c]."""

    penalty: float
    right: int
    total: int
    log_loss: float
    logits: Tensor


def linear_probe(task: Task, options: LinearProbe, context: Context) -> Fitted:
    """Return the frozen backbone with the head that `solve_head` finds; there are no options."""
    del options
    solved = solve_head(material_of(task), task.wanted, context)
    model = Adapted(
        task.backbone, solved.head, task.features, is_frozen=True, left_out=solved.left_out
    )
    return Fitted(model, solved.candidates, solved.explanation)


def frozen_head(task: Task, context: Context) -> Fitted:
    """Return the baseline of every strategy: this one, with nothing the user wished."""
    return linear_probe(task._replace(wanted=Hyperparameters()), LinearProbe(), context)


def material_of(task: Task) -> Material:
    """Return what the head is solved from: the frozen backbone's features."""
    return Material(task.features.of(task.images), task.labels, task.folds, task.num_classes)


def solve_head(material: Material, wanted: Hyperparameters, context: Context) -> Solved:
    """Choose the penalty by cross-validation and solve for the head on all of `material`.

    Raises:
        EngineError: DIVERGED where numbers stop being finite.
    """
    limit = MAX_ITERATIONS if wanted.epochs == "auto" else wanted.epochs
    grid = GRID if wanted.weight_decay == "auto" else (wanted.weight_decay,)
    basis = basis_of(material.features)
    started = time.perf_counter()
    scores = [] if context.should_stop() else _cross_validate(material, basis, grid, limit, context)
    seconds = (time.perf_counter() - started) / len(grid)
    best = _best(scores)
    default = grid[0] if len(grid) == 1 else DEFAULT_PENALTY
    penalty = best.penalty if best else default
    context.progress("training", 0.70)
    solution = _solve_one(material, basis, penalty, limit, context)
    left_out = best and LeftOut(best.logits, material.labels[material.folds >= 0])
    temperature = fit_temperature(*left_out) if left_out else None
    head = basis.head(solution.weights[0], solution.biases[0], temperature)
    candidates = _candidates(scores, best, penalty, seconds)
    return Solved(head, candidates, _explained(scores, penalty, grid), left_out)


def _best(scores: Sequence[_Scores]) -> _Scores | None:
    """Return the score of the lowest log-loss among those that tie for the best accuracy.

    Accuracies within one standard error of the best are a tie: fewer images than that apart,
    they order penalties by chance (on Fashion-MNIST this is worth half a point at 5 to 20
    images a class against the highest accuracy alone).
    """
    if not scores:
        return None
    top = max(one.right / one.total for one in scores)
    margin = sqrt(top * (1 - top) / scores[0].total)
    tied = [one for one in scores if one.right / one.total >= top - margin]
    return min(tied, key=lambda one: (one.log_loss, -one.penalty))


def _cross_validate(
    material: Material, basis: Basis, grid: tuple[float, ...], limit: int, context: Context
) -> list[_Scores]:
    """Return the scores of each penalty; none where no image is in a fold."""
    numbers = sorted(set(material.folds.tolist()) - {-1})
    if not numbers:
        return []
    judged = material.folds >= 0
    truth = material.labels[judged]
    shape = (len(grid), len(material.labels), material.num_classes)
    out_of_fold = torch.zeros(shape, dtype=torch.float32)
    coordinates = basis.coordinates(material.features).float()
    pairs = [(row, number) for row in range(len(grid)) for number in numbers]
    width = max(1, _MAX_ELEMENTS // (material.num_classes * max(coordinates.shape)))
    for start in range(0, len(pairs), width):
        chunk = pairs[start : start + width]
        context.progress("training", 0.60 + 0.10 * start / len(pairs), start, len(pairs))
        masks = torch.stack([material.without(number) for _, number in chunk])
        penalties = torch.tensor([grid[row] for row, _ in chunk])
        problems = Problems(coordinates, material.labels, masks, penalties, material.num_classes)
        solved = _checked(solve(problems, limit, _GRID_TOLERANCE, _go_on(context)))
        for (row, number), logits in zip(chunk, solved.logits, strict=True):
            held = material.folds == number
            out_of_fold[row, held] = logits[held]
    scores = [_score(penalty, out_of_fold[row, judged], truth) for row, penalty in enumerate(grid)]
    for step, one in enumerate(scores):
        context.metrics(step, cv_accuracy=one.right / one.total, cv_log_loss=one.log_loss)
    return scores


def _go_on(context: Context) -> Callable[[int], bool]:
    """Return what the solver asks before each iteration: raises on cancel, ends on stop."""

    def answer(iteration: int) -> bool:
        context.check()
        return iteration == 0 or not context.should_stop()

    return answer


def _score(penalty: float, logits: Tensor, truth: Tensor) -> _Scores:
    right = int((logits.argmax(dim=1) == truth).sum())
    log_loss = float(torch.nn.functional.cross_entropy(logits, truth))
    return _Scores(penalty, right, len(truth), log_loss, logits)


def _solve_one(
    material: Material, basis: Basis, penalty: float, limit: int, context: Context
) -> Solutions:
    """Solve one penalty on all images, in double precision."""
    coordinates = basis.coordinates(material.features)
    problems = Problems(
        features=coordinates,
        labels=material.labels,
        masks=material.without(-1)[None],
        penalties=torch.tensor([penalty], dtype=torch.float64),
        num_classes=material.num_classes,
    )
    solved = _checked(solve(problems, limit, _FINAL_TOLERANCE, _go_on(context)))
    context.metrics(0, head_iterations=solved.iterations, head_residual=float(solved.residuals[0]))
    return solved


def _checked(solutions: Solutions) -> Solutions:
    if not bool(solutions.logits.isfinite().all()):
        raise EngineError(ErrorCode.DIVERGED, "The head's logits are no longer finite numbers.")
    return solutions


def _candidates(
    scores: list[_Scores], best: _Scores | None, penalty: float, seconds: float
) -> list[Candidate]:
    """Return one candidate for each penalty tried; the chosen one alone where none was scored."""
    if best is None:
        reason = "too few images for cross-validation: the default, or the value given"
        return [
            Candidate(
                strategy="linear_probe",
                hyperparameters={"weight_decay": penalty},
                score=None,
                chosen=True,
                reason=reason,
            )
        ]
    return [
        Candidate(
            strategy="linear_probe",
            hyperparameters={"weight_decay": one.penalty},
            score=one.right / one.total,
            score_interval=wilson(one.right, one.total),
            seconds=round(seconds, 4),
            chosen=one is best,
            reason=_reason(one, best, len(scores)),
        )
        for one in scores
    ]


def _reason(one: _Scores, best: _Scores, num_scores: int) -> str:
    if one is best:
        if num_scores == 1:
            return "the value given"
        return "the lowest log-loss among the best in cross-validated accuracy"
    points = 100 * (one.right - best.right) / one.total
    loss = one.log_loss - best.log_loss
    if loss >= 0:
        return f"{points:+.1f} points of accuracy, but {loss:.3f} more log-loss than the chosen one"
    return f"{-points:.1f} points less accurate than the chosen one"


def _explained(scores: list[_Scores], penalty: float, grid: tuple[float, ...]) -> str:
    if len(grid) == 1:
        return f"The head's L2 was given: {penalty:g}."
    if not scores:
        return f"The head's L2 is the default, {penalty:g}: there was nothing to choose it by."
    return f"The head's L2, {penalty:g}, was chosen from {len(grid)} by cross-validation."
