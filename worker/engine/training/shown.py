"""What a training is shown: inputs, what they should answer, and which come together in a batch.

May import torch and the engine's own modules.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from worker.engine.data import Image
from worker.engine.training.examples import Examples
from worker.engine.training.objective import NEITHER, SOURCE, TARGET, soft_targets
from worker.engine.training.recipe import Recipe
from worker.engine.training.sampler import batches, side_by_side


class Labelled(NamedTuple):
    """Inputs with their class numbers [n]."""

    inputs: Examples
    labels: Tensor


class Shown(Protocol):
    """Inputs by number, in batches."""

    inputs: Examples

    def epoch(self, number: int) -> list[Tensor]:
        """Return the batches of one epoch, each as numbers of inputs; the same at every call."""

    def targets(self, numbers: Tensor) -> Tensor:
        """Return what k inputs should answer, [k, c]; rows of zeros where that is not known."""

    def sides(self, numbers: Tensor) -> Tensor:
        """Return which domain each of k inputs stands for, [k]: TARGET, SOURCE or NEITHER."""


class OneDomain:
    """The target's labelled images alone."""

    def __init__(self, labelled: Labelled, num_classes: int, recipe: Recipe) -> None:
        self.inputs, self._labels = labelled
        self._num_classes = num_classes
        self._recipe = recipe

    def epoch(self, number: int) -> list[Tensor]:
        """Return batches that hold each image once, or every class equally often."""
        recipe = self._recipe
        return batches(
            self._labels,
            recipe.batch_size,
            class_balanced=recipe.class_balanced,
            seed=recipe.seed,
            epoch=number,
        )

    def targets(self, numbers: Tensor) -> Tensor:
        """Return smoothed targets [k, c]."""
        return soft_targets(self._labels[numbers], self._num_classes, self._recipe.label_smoothing)

    def sides(self, numbers: Tensor) -> Tensor:
        """Return TARGET for all."""
        return torch.full((len(numbers),), TARGET)


class Others(NamedTuple):
    """Images that are trained on beside the target's labelled ones.

    First the source's, with their `labels` [m] as columns of the targets, then unlabelled ones of
    the target. The columns after the target's classes, `num_own` of them, are classes of the
    source's own. `aligned` [c] tells which classes of the target have their images aligned.
    `weights` [m] say how much each of the source's images counts beside one of the target's; all
    count alike without.
    """

    source: Sequence[Image]
    labels: Tensor
    num_own: int
    unlabelled: Sequence[Image]
    aligned: Tensor
    weights: Tensor | None = None

    @property
    def images(self) -> list[Image]:
        """Return all of them, in order."""
        return [*self.source, *self.unlabelled]


class TwoDomains:
    """Labelled target images, labelled source images, and unlabelled target images.

    A batch holds as many of each kind as there is a kind, one after the other in turn, so that
    a part of it is like the whole. An epoch goes once through the largest kind; the others
    begin anew as often as they must.
    """

    def __init__(self, own: Labelled, num_classes: int, others: Others, recipe: Recipe) -> None:
        """Take the inputs of `own` and, after them, of `others`; `own` has its labels alone."""
        self.inputs, labels = own
        counts = torch.tensor([len(labels), len(others.source), len(others.unlabelled)])
        self._kinds = torch.repeat_interleave(torch.arange(3), counts)
        unknown = torch.full((len(others.unlabelled),), -1)
        self._labels = torch.cat([labels, others.labels, unknown])
        own_places = torch.where(others.aligned[labels], TARGET, NEITHER)
        sides = torch.tensor([SOURCE, TARGET])
        self._places = torch.cat([own_places, torch.repeat_interleave(sides, counts[1:])])
        self._weights = torch.ones(len(self._labels))
        if others.weights is not None:
            self._weights[self._kinds == 1] = others.weights.float()
        self._widths = (num_classes, others.num_own)
        self._recipe = recipe

    def epoch(self, number: int) -> list[Tensor]:
        """Return batches of `batch_size` images of each kind."""
        recipe = self._recipe
        return side_by_side(
            self._labels,
            self._kinds,
            recipe.batch_size,
            class_balanced=recipe.class_balanced,
            seed=recipe.seed,
            epoch=number,
        )

    def targets(self, numbers: Tensor) -> Tensor:
        """Return smoothed targets [k, c], each row times what its image counts.

        The smoothing is shared by the classes of one domain.
        """
        labels, blocks, start = self._labels[numbers], [], 0
        for width in self._widths:
            inside = (labels >= start) & (labels < start + width)
            within = torch.where(inside, labels - start, 0)
            if width:
                block = soft_targets(within, width, self._recipe.label_smoothing)
                blocks.append(block * inside[:, None])
            start += width
        return torch.cat(blocks, dim=1) * self._weights[numbers, None]

    def sides(self, numbers: Tensor) -> Tensor:
        """Return the domain that each image is aligned for; NEITHER for one that is not."""
        return self._places[numbers]
