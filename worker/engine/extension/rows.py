"""Rows for new labels beside a finished linear head, on a scale that fits its own.

May import torch and the engine's own modules.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from worker.engine.head import Head
from worker.engine.strategies.prototype import class_prototype

_SHARPNESS = 16.0  # where the search for the scale begins
_ITERATIONS = 200
_DAMPING = 1e-9
_SETTLED = 1e-8


class Examples(NamedTuple):
    """Features [n, d] of n images, their class numbers [n], and from what each never parts [n].

    The head's own labels keep their numbers; the new ones follow.
    """

    features: Tensor
    labels: Tensor
    units: Tensor

    def where(self, kept: Tensor) -> "Examples":
        """Return those examples for which `kept` [n] is true."""
        return Examples(self.features[kept], self.labels[kept], self.units[kept])


class Extended(NamedTuple):
    """A head with rows for the new labels: logit = `scale` * (cosine - common part) + `offset`."""

    head: Head
    scale: float
    offset: float


def common_part(features: Tensor, labels: Tensor) -> Tensor:
    """Return the mean [d] of the prototypes of known classes.

    All images look alike to some degree; what a new label has in common with every other one
    tells it from none of them.
    """
    found = [
        class_prototype(features[labels == number]) for number in labels.bincount().nonzero()[:, 0]
    ]
    return torch.stack(found).mean(dim=0)


def extended(head: Head, new: Examples, old: Examples, common: Tensor) -> Extended:
    """Return `head` with a row for each label of `new`, its own rows untouched.

    A row is the label's prototype less the common part. One scale and one offset for all rows
    make the classes of all images most likely, each class counted alike: `new` images are
    scored by the prototype of the other units' images, so that none speaks for itself, and
    `old` ones are images that the head was not trained on.
    """
    length = torch.cat([new.features, old.features]).norm(dim=1).mean()
    directions = _directions(new, len(head.bias)) - common
    scores = torch.cat([_left_out(new, len(head.bias), common), old.features @ directions.T])
    logits = torch.cat([head.logits(new.features), head.logits(old.features)])
    labels = torch.cat([new.labels, old.labels])
    scale, offset = fit_scale(logits.double(), scores.double() / length, labels)
    weight = torch.cat([head.weight, directions * (scale / length)])
    bias = torch.cat([head.bias, torch.full((len(directions),), offset)])
    return Extended(head._replace(weight=weight, bias=bias), scale, offset)


def crossed(
    head: Head, new: Examples, old: Examples, common: Tensor, parts: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return logits of `new` and `old` images, each by a head made without its part.

    `parts` are the parts of the new and of the old images; every new label has images in two.
    """
    width = int(new.labels.max()) + 1
    found = torch.zeros(len(new.labels), width), torch.zeros(len(old.labels), width)
    for number in sorted(set(torch.cat(parts).tolist())):
        here = [one == number for one in parts]
        made = extended(head, new.where(~here[0]), old.where(~here[1]), common).head
        found[0][here[0]] = made.logits(new.features[here[0]])
        found[1][here[1]] = made.logits(old.features[here[1]])
    return found


def fit_scale(logits: Tensor, scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the scale, at least 0, and the offset that put `scores` [n, k] beside `logits` [n, c].

    They minimise the cross-entropy of [logits, scale * scores + offset] (convex), each class
    weighing alike, and each meant with (n + 1) / (n + 2), not 1, as in `fit_temperature`.
    """
    num_classes = logits.shape[1] + scores.shape[1]
    counts = torch.bincount(labels, minlength=num_classes).double()[labels]
    doubt = 1 / (counts + 2)
    target = (doubt / (num_classes - 1))[:, None].repeat(1, num_classes)
    target[torch.arange(len(labels)), labels] = 1 - doubt
    fit = _Fit(logits, scores, target, 1 / counts)
    scale, offset = _newton(fit)
    if scale < 0:
        # The scores tell nothing: what is left is how often a new label is met.
        scale, offset = 0.0, _newton(fit._replace(scores=torch.zeros_like(scores)))[1]
    return scale, offset


class _Fit(NamedTuple):
    """`weights` [n] of images whose classes are `target` [n, c + k]."""

    logits: Tensor
    scores: Tensor
    target: Tensor
    weights: Tensor

    def chances(self, fitted: Tensor) -> Tensor:
        """Return logarithms of probabilities [n, c + k] with this scale and offset."""
        return torch.cat([self.logits, fitted[0] * self.scores + fitted[1]], dim=1).log_softmax(1)

    def loss(self, fitted: Tensor) -> float:
        """Return the weighed cross-entropy."""
        found = -(self.target * self.chances(fitted)).sum(dim=1)
        return float((self.weights * found).sum())

    def step(self, fitted: Tensor) -> Tensor:
        """Return Newton's step [2]."""
        chances = self.chances(fitted).exp()
        slopes = torch.zeros(*chances.shape, 2, dtype=chances.dtype)
        slopes[:, self.logits.shape[1] :, 0] = self.scores
        slopes[:, self.logits.shape[1] :, 1] = 1
        gradient = torch.einsum("n,nc,ncp->p", self.weights, chances - self.target, slopes)
        mean = torch.einsum("nc,ncp->np", chances, slopes)
        squares = torch.einsum("n,nc,ncp,ncq->pq", self.weights, chances, slopes, slopes)
        curvature = squares - torch.einsum("n,np,nq->pq", self.weights, mean, mean)
        damped = curvature + _DAMPING * torch.eye(2, dtype=chances.dtype)
        found: Tensor = torch.linalg.solve(damped, -gradient)
        return found


def _newton(fit: _Fit) -> tuple[float, float]:
    fitted = torch.tensor([_SHARPNESS, 0.0], dtype=torch.float64)
    loss = fit.loss(fitted)
    for _ in range(_ITERATIONS):
        step = fit.step(fitted)
        while (better := fit.loss(fitted + step)) > loss and float(step.abs().max()) > _SETTLED:
            step = step / 2
        if float(step.abs().max()) <= _SETTLED:
            break
        fitted, loss = fitted + step, better
    return float(fitted[0]), float(fitted[1])


def _directions(new: Examples, first: int) -> Tensor:
    numbers = range(first, int(new.labels.max()) + 1)
    return torch.stack([class_prototype(new.features[new.labels == one]) for one in numbers])


def _left_out(new: Examples, first: int, common: Tensor) -> Tensor:
    """Return scores [n, k] of new images, for its own label by the other units' images alone."""
    directions = _directions(new, first)
    scores = new.features @ (directions - common).T
    unit_rows = normalize(new.features, dim=1)
    for place in range(len(new.labels)):
        own = new.labels == new.labels[place]
        others = own & (new.units != new.units[place])
        if bool(others.any()):
            direction = normalize(unit_rows[others].mean(dim=0), dim=0) - common
            scores[place, int(new.labels[place]) - first] = new.features[place] @ direction
    return scores
