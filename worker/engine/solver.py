"""Many multinomial logistic regressions on one feature matrix, solved at once.

Shape letters: n images, d dimensions, c classes, p problems. May import torch.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

MAX_ITERATIONS = 300
_HISTORY = 8
_MAX_HALVINGS = 30
_ARMIJO = 1e-4


class Problems(NamedTuple):
    """p problems that share images and differ in who is trained on, and in the penalty.

    `features` [n, d]; `labels` [n] of class numbers; `masks` [p, n], 1 for a training image and
    0 for others, or any weights >= 0; `penalties` [p]. Problem k minimises over w [c, d] and b [c]
    the mean, weighted by masks[k], of cross_entropy(features @ w.T + b, labels)
    + penalties[k] / 2 * sum(w ** 2); the bias is not penalised. This is scikit-learn's
    LogisticRegression with C = 1 / (penalty * sum of the weights).
    """

    features: Tensor
    labels: Tensor
    masks: Tensor
    penalties: Tensor
    num_classes: int


class Solutions(NamedTuple):
    """`weights` [p, c, d], `biases` [p, c], the `logits` [p, n, c] of all images, and how it went.

    `residuals` [p] is the largest entry of the preconditioned gradient at the end.
    """

    weights: Tensor
    biases: Tensor
    logits: Tensor
    residuals: Tensor
    iterations: int


def _go_on(_iteration: int) -> bool:
    return True


def solve(
    problems: Problems,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = 1e-5,
    go_on: Callable[[int], bool] = _go_on,
) -> Solutions:
    """Solve all problems by L-BFGS (Liu & Nocedal 1989), each with a line search of its own.

    Variables are scaled by a bound on the Hessian's diagonal, which in a basis of principal
    components makes the problem nearly round: some 20 iterations instead of hundreds. The
    logits of a step are linear in it, so the line search costs no pass over the features.
    `go_on` is asked before each iteration and ends the solve early by returning False.
    """
    state = _Descent(problems)
    iteration = 0
    while iteration < max_iterations and go_on(iteration):
        if bool((state.residuals() <= tolerance).all()):
            break
        state.put_aside(tolerance)
        if not state.step(tolerance):
            break
        iteration += 1
    return state.solutions(iteration)


class _Descent:
    """The iterate of all problems: variables [p, c, d + 1], their logits [p, c, n], gradients."""

    def __init__(self, problems: Problems) -> None:
        features, masks = problems.features, problems.masks.to(problems.features.dtype)
        ones = features.new_ones(len(features), 1)
        self.inputs = torch.cat([features, ones], dim=1)
        self.shares = masks / masks.sum(dim=1, keepdim=True)
        self.targets = torch.nn.functional.one_hot(problems.labels, problems.num_classes).T
        self.targets = self.targets.to(features.dtype)
        penalties = problems.penalties.to(features.dtype)[:, None].repeat(1, self.inputs.shape[1])
        penalties[:, -1] = 0
        self.penalties = penalties[:, None, :]
        # At the start every class is equally likely: p (1 - p) bounds nothing but guides well.
        spread = (1 - 1 / problems.num_classes) / problems.num_classes
        curvature = spread * (self.shares @ self.inputs.square())
        self.scale = (curvature[:, None, :] + self.penalties).clamp_min(1e-12).rsqrt()
        shape = (len(masks), problems.num_classes, self.inputs.shape[1])
        self.point = features.new_zeros(shape)
        self.logits = features.new_zeros(shape[0], shape[1], len(features))
        self.loss, self.gradient = self._loss(self.point, self.logits), self._gradient()
        self.history: list[tuple[Tensor, Tensor, Tensor]] = []
        self.numbers = torch.arange(len(masks))
        self.aside: list[_Part] = []

    def residuals(self) -> Tensor:
        """Return the largest entry of each problem's scaled gradient, [p]."""
        return self.gradient.abs().amax(dim=(1, 2))

    def step(self, tolerance: float) -> bool:
        """Move every unfinished problem downhill; False when none could move."""
        direction = self._direction()
        slope = (direction * self.gradient).sum(dim=(1, 2))
        uphill = (slope >= 0)[:, None, None]
        direction = torch.where(uphill, -self.gradient, direction)
        slope = (direction * self.gradient).sum(dim=(1, 2))
        move = direction * self.scale
        change = move @ self.inputs.T
        lengths = self._line_search(move, change, slope, self.residuals() <= tolerance)
        if not bool((lengths > 0).any()):
            return False
        before = self.gradient
        self.gradient = self._gradient()
        self._remember(lengths[:, None, None] * direction, self.gradient - before)
        return True

    def _loss(self, point: Tensor, logits: Tensor) -> Tensor:
        """Return the objectives, [p]."""
        losses = logits.logsumexp(dim=1) - (logits * self.targets).sum(dim=1)
        decay = (self.penalties * point.square()).sum(dim=(1, 2)) / 2
        return (self.shares * losses).sum(dim=1) + decay

    def _gradient(self) -> Tensor:
        """Return the gradients with respect to the scaled variables, [p, c, d + 1]."""
        errors = (self.logits.softmax(dim=1) - self.targets) * self.shares[:, None, :]
        return (errors @ self.inputs + self.penalties * self.point) * self.scale

    def _direction(self) -> Tensor:
        """Return the L-BFGS directions by the two-loop recursion, one for each problem."""
        direction = -self.gradient
        alphas: list[Tensor] = []
        for step, change, rho in reversed(self.history):
            alpha = rho * (step * direction).sum(dim=(1, 2), keepdim=True)
            direction = direction - alpha * change
            alphas.append(alpha)
        if self.history:
            step, change, rho = self.history[-1]
            inverse = change.square().sum(dim=(1, 2), keepdim=True) * rho
            direction = direction / torch.where(inverse > 0, inverse, torch.ones_like(inverse))
        for (step, change, rho), alpha in zip(self.history, reversed(alphas), strict=True):
            beta = rho * (change * direction).sum(dim=(1, 2), keepdim=True)
            direction = direction + (alpha - beta) * step
        return direction

    def _remember(self, step: Tensor, change: Tensor) -> None:
        product = (step * change).sum(dim=(1, 2), keepdim=True)
        floor = torch.finfo(product.dtype).eps * change.square().sum(dim=(1, 2), keepdim=True)
        rho = torch.where(product > floor, 1 / product, torch.zeros_like(product))
        self.history = [*self.history, (step, change, rho)][-_HISTORY:]

    def _line_search(self, move: Tensor, change: Tensor, slope: Tensor, done: Tensor) -> Tensor:
        """Move by lengths [p], halved from 1 until the loss falls enough; 0 if none does."""
        lengths = torch.where(done, 0.0, torch.ones_like(slope))
        slack = torch.finfo(self.loss.dtype).eps * self.loss.abs()
        for _ in range(_MAX_HALVINGS):
            point, logits = self._moved(move, change, lengths)
            loss = self._loss(point, logits)
            good = loss <= self.loss + _ARMIJO * lengths * slope + slack
            if bool(good.all()):
                break
            lengths = torch.where(good, lengths, lengths / 2)
        else:
            lengths = torch.where(good, lengths, torch.zeros_like(lengths))
            point, logits = self._moved(move, change, lengths)
            loss = self._loss(point, logits)
        self.point, self.logits, self.loss = point, logits, loss
        return lengths

    def _moved(self, move: Tensor, change: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the variables and the logits that far along."""
        steps = lengths[:, None, None]
        return torch.addcmul(self.point, steps, move), torch.addcmul(self.logits, steps, change)

    def put_aside(self, tolerance: float) -> None:
        """Take the solved problems out once they are a quarter of those left: they cost as much."""
        is_left = self.residuals() > tolerance
        if 4 * int(is_left.sum()) > 3 * len(is_left):
            return
        self.aside.append(self._part(~is_left))
        self.numbers, self.point, self.logits, _ = self._part(is_left)
        self.shares, self.penalties = self.shares[is_left], self.penalties[is_left]
        self.scale, self.loss = self.scale[is_left], self.loss[is_left]
        self.gradient = self.gradient[is_left]
        self.history = [
            (step[is_left], change[is_left], rho[is_left]) for step, change, rho in self.history
        ]

    def _part(self, chosen: Tensor) -> "_Part":
        return _Part(
            self.numbers[chosen],
            self.point[chosen],
            self.logits[chosen],
            self.residuals()[chosen],
        )

    def solutions(self, iterations: int) -> Solutions:
        """Return where the descent stands, the problems in their first order."""
        parts = [*self.aside, self._part(torch.ones(len(self.numbers)).bool())]
        numbers, points, logits, residuals = (
            torch.cat(field) for field in zip(*parts, strict=True)
        )
        order = numbers.argsort()
        return Solutions(
            weights=points[order, :, :-1],
            biases=points[order, :, -1],
            logits=logits[order].transpose(1, 2),
            residuals=residuals[order],
            iterations=iterations,
        )


class _Part(NamedTuple):
    """Some of the problems: their `numbers` among all, variables, logits and residuals."""

    numbers: Tensor
    point: Tensor
    logits: Tensor
    residuals: Tensor
