"""The comparison is a fair one: as much time, the same images, a loop that learns."""

from collections.abc import Iterator

import pytest
import torch

from regraft.contract.catalog import BACKBONES
from tests.worker.engine.conftest import TrainedRun
from tests.worker.engine.recorder import Recorder
from worker.engine import scratch
from worker.engine.data import Image, load

RECORD = BACKBONES["efficientnet_lite0"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Hundreds of small steps wait for each other's threads where the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_no_budget_still_buys_one_pass_over_the_images(images: list[Image]) -> None:
    """A cached adaptation takes no time: its rival would not have been trained at all."""
    few = images[:20]
    examples = scratch.Examples(few, [n % 2 for n in range(20)], 2)
    trained = scratch.train(RECORD, examples, scratch.Budget(0.0), 0, Recorder())
    assert (trained.epochs, trained.steps) == (1.0, 2)
    logits = scratch.logits(trained, images[20:29], Recorder())
    assert logits.shape == (9, 2)
    assert bool(logits.isfinite().all())


def test_it_learns_what_it_is_shown(trained: TrainedRun) -> None:
    """A straw man would make transfer look better than it is."""
    assert trained.result.done.transfer.from_scratch is not None
    pictures = _two_classes(trained)
    labels = [int(image.label == "bag") for image in pictures]
    examples = scratch.Examples(pictures, labels, 2)
    rival = scratch.train(RECORD, examples, scratch.Budget(0.0, epochs=12), 0, Recorder())
    guessed = scratch.logits(rival, pictures, Recorder()).argmax(dim=1)
    assert (guessed == torch.tensor(labels)).double().mean() > 0.7
    assert rival.epochs == 12


def _two_classes(trained: TrainedRun) -> list[Image]:
    return [image for image in load(trained.spec.data) if image.label in {"bag", "sneaker"}]
