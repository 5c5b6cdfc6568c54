"""What comes together in a batch of two domains, and what is asked of each image."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from regraft.contract.catalog import BACKBONES
from regraft.contract.job import Hyperparameters
from regraft.contract.strategies import Coral
from worker.engine.data import Image
from worker.engine.training.objective import NEITHER, SOURCE, TARGET
from worker.engine.training.recipe import Recipe, recipe_of
from worker.engine.training.shown import Labelled, Others, TwoDomains

OWN = torch.tensor([0, 0, 0, 1, 1])


class _Nothing:
    """Inputs that nobody draws."""

    entry = 0

    def draw(self, numbers: Tensor) -> Tensor:
        return numbers


def _images(count: int) -> list[Image]:
    return [Image(str(one), "", None, None, None, Path(), 0, 0) for one in range(count)]


def _recipe(**wanted: object) -> Recipe:
    hyperparameters = Hyperparameters.model_validate({"batch_size": 4, **wanted})
    return recipe_of(hyperparameters, Coral(), BACKBONES["efficientnet_lite0"], 1)


def _shown(recipe: Recipe) -> TwoDomains:
    """Return 5 own images of 2 classes, 11 of the source's 3 classes, 2 unlabelled."""
    others = Others(
        source=_images(11),
        labels=torch.tensor([2, 3, 4] * 3 + [2, 2]),
        num_own=3,
        unlabelled=_images(2),
        aligned=torch.tensor([True, False]),
    )
    return TwoDomains(Labelled(_Nothing(), OWN), 2, others, recipe)


def test_every_part_of_a_batch_holds_all_kinds() -> None:
    """A batch that memory splits would align a domain with nothing."""
    batches = _shown(_recipe()).epoch(0)
    kinds = torch.tensor([0] * 5 + [1] * 11 + [2] * 2)
    assert [len(one) for one in batches] == [12, 12, 12]
    for batch in batches:
        assert kinds[batch].tolist() == [0, 1, 2] * 4
    shown = torch.cat(batches).bincount(minlength=18)
    assert set(shown[5:16].tolist()) <= {1, 2}
    assert set(shown[:5].tolist()) <= {2, 3}
    assert shown[16:].tolist() == [6, 6]


def test_an_epoch_is_a_function_of_its_number() -> None:
    """A resumed training would see other batches."""
    first, second = _shown(_recipe()), _shown(_recipe())
    assert all(map(torch.equal, first.epoch(3), second.epoch(3)))
    assert not all(map(torch.equal, first.epoch(3), first.epoch(4)))


def test_balanced_batches_balance_each_domain() -> None:
    """A rare product would be rare in the source too; unlabelled images have no class."""
    shown = _shown(_recipe(class_balanced=True))
    drawn = torch.cat([batch for epoch in range(200) for batch in shown.epoch(epoch)])
    counts = drawn.bincount(minlength=18).double()
    assert float(counts[:3].sum() / counts[:5].sum()) == pytest.approx(0.5, abs=0.03)
    assert float(counts[[5, 8, 11, 14, 15]].sum() / counts[5:16].sum()) == pytest.approx(
        1 / 3, abs=0.03
    )


def test_each_domain_answers_with_its_own_classes() -> None:
    """Smoothing would spread to classes that the image cannot be of."""
    shown = _shown(_recipe(label_smoothing=0.3))
    targets = shown.targets(torch.tensor([0, 3, 5, 17]))
    assert torch.allclose(
        targets,
        torch.tensor(
            [
                [0.85, 0.15, 0, 0, 0],
                [0.15, 0.85, 0, 0, 0],
                [0, 0, 0.8, 0.1, 0.1],
                [0, 0, 0, 0, 0],
            ]
        ),
    )


def test_a_weighted_image_asks_for_as_much_as_it_weighs() -> None:
    """A source image unlike the target's would count as much as one that is like them."""
    plain = _shown(_recipe())
    everything = torch.tensor([True, True])
    weights = torch.arange(11) / 10
    others = Others(_images(11), torch.tensor([0, 1] * 5 + [0]), 0, (), everything, weights)
    shown = TwoDomains(Labelled(_Nothing(), OWN), 2, others, _recipe())
    assert torch.allclose(shown.targets(torch.arange(16)).sum(dim=1)[5:], weights)
    assert shown.targets(torch.arange(5)).sum(dim=1).tolist() == [1.0] * 5
    assert plain.targets(torch.arange(16)).sum(dim=1).tolist() == [1.0] * 16


def test_only_aligned_classes_stand_for_their_domain() -> None:
    """A class that the other domain lacks would be pulled onto its images."""
    found = _shown(_recipe()).sides(torch.tensor([0, 4, 5, 15, 16]))
    assert found.tolist() == [TARGET, NEITHER, SOURCE, SOURCE, TARGET]
