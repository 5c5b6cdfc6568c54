"""Domain adaptation aligns what it says, freezes what it says, and resumes to the bit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.job import Hyperparameters
from regraft.contract.strategies import Alignment, Coral, Dann, InstanceWeighting, Mmd
from tests.worker.engine.recorder import Recorder
from tests.worker.engine.tasks import source_of, task_of
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import CheckpointFiles
from worker.engine.context import RunCancelledError, RunPausedError
from worker.engine.data import Image, load
from worker.engine.domain.coral import coral
from worker.engine.domain.mmd import multi_kernel_mmd
from worker.engine.failures import EngineError
from worker.engine.runspec import DataSource
from worker.engine.strategies import STRATEGIES, Fitted, Source, Task
from worker.engine.training.network import Network
from worker.engine.tuned import TunedFeatures

pytestmark = pytest.mark.usefixtures("one_thread")

OBJECTS = Path(__file__).parents[4] / "samples" / "objects"
TARGET = ("bird", "fruit", "tool")
ALL = (Coral(), Mmd(), Dann())


@pytest.fixture(scope="module")
def small(backbone: Backbone) -> Backbone:
    """The real EfficientNet-Lite0 on small pictures: quick, and its features mean something."""
    return backbone._replace(record=backbone.record._replace(input_size=64, resize=72))


def _images(part: str, labels: Sequence[str], each: int) -> list[Image]:
    found = load(DataSource(folder=OBJECTS / part))
    return [
        image for label in labels for image in [one for one in found if one.label == label][:each]
    ]


def _source(labels: Sequence[str]) -> Source:
    return source_of(_images("source", labels, 4))


@pytest.fixture
def task(small: Backbone, tmp_path: Path) -> Task:
    """Photos of three classes, drawings of the same, and photos without labels."""
    return task_of(
        small,
        _images("target", TARGET, 4),
        TunedFeatures(small, Recorder()),
        tmp_path,
        wanted=Hyperparameters(epochs=2, batch_size=6, learning_rate=0.003),
        seed=1,
        source=_source(TARGET),
        unlabelled=_images("target-test", TARGET, 3),
    )


def _fit(task: Task, options: Alignment, recorder: Recorder | None = None, **wanted: Any) -> Fitted:
    task = task._replace(wanted=task.wanted.model_copy(update=wanted))
    return STRATEGIES[options.type](task, options, recorder or Recorder())


def _weights(fitted: Fitted) -> dict[str, Tensor]:
    return fitted.model.backbone.module.state_dict() | {"head": fitted.model.head.weight}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("options", ALL, ids=lambda one: one.type)
def test_last_stages_learn_and_batch_norm_stays_as_it_was(
    task: Task, small: Backbone, options: Alignment
) -> None:
    """What is said to be frozen would have learned the source's statistics."""
    recorder = Recorder()
    fitted = _fit(task, options, recorder)
    before, after = small.module.state_dict(), fitted.model.backbone.module.state_dict()
    network = Network(small, 2)
    frozen = {name for name in before if any(one.has(name) for one in network.pieces[:5])}
    statistics = {name for name in before if name.endswith(("running_mean", "running_var"))}
    assert len(frozen) > 50
    assert len(statistics - frozen) > 10
    assert all(torch.equal(before[name], after[name]) for name in frozen | statistics)
    assert not torch.equal(before["conv_head.weight"], after["conv_head.weight"])
    (candidate,) = fitted.candidates
    assert candidate.strategy == options.type
    assert candidate.hyperparameters["source_images"] == 12
    assert candidate.hyperparameters["unlabelled_images"] == 9
    assert len(recorder.values["train_loss"]) == 4


def test_weighted_images_of_a_source_train_the_tail(task: Task, small: Backbone) -> None:
    """The strategy that weighs images would leave the features to those who align them."""
    trains = {"trains": "tail", "weighting": "density_ratio"}
    options = InstanceWeighting.model_validate(trains)
    fitted = STRATEGIES["instance_weighting"](task, options, Recorder())
    before, after = small.module.state_dict(), fitted.model.backbone.module.state_dict()
    frozen = {name for name in before if any(one.has(name) for one in Network(small, 2).pieces[:5])}
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["conv_head.weight"], after["conv_head.weight"])
    (candidate,) = fitted.candidates
    assert candidate.strategy == "instance_weighting"
    assert candidate.hyperparameters["weighting"] == "density_ratio"
    assert candidate.hyperparameters["source_images"] == 12
    lighter = options.model_copy(update={"source_weight": 0.01})
    other = STRATEGIES["instance_weighting"](task, lighter, Recorder())
    assert not _same(_weights(fitted), _weights(other))


@pytest.mark.parametrize("options", [Dann(), Coral()], ids=lambda one: one.type)
def test_two_trainings_with_one_seed_are_the_same_to_the_bit(
    task: Task, options: Alignment
) -> None:
    """A repeated job would deliver another model; the discriminator starts from chance."""
    drawn: dict[str, Any] = {"augmentation": "light", "mixup": 0.4, "epochs": 1}
    first = _weights(_fit(task, options, **drawn))
    torch.manual_seed(99)
    assert _same(first, _weights(_fit(task, options, **drawn)))
    assert not _same(first, _weights(_fit(task._replace(seed=2), options, **drawn)))


def test_without_strength_all_terms_are_none(task: Task) -> None:
    """The term would do something else besides."""
    first = _weights(_fit(task, Coral(strength=0.0)))
    assert _same(first, _weights(_fit(task, Mmd(strength=0.0))))
    assert not _same(first, _weights(_fit(task, Mmd(strength=10.0))))


def _features(task: Task, options: Alignment) -> tuple[Tensor, Tensor]:
    """Return the features of drawings and photos after a training."""
    assert task.source is not None
    features = _fit(task, options, epochs=6).model.features
    return features.of(task.source.images), features.of(task.images)


def test_a_strong_term_draws_the_domains_together(task: Task) -> None:
    """The sign of a term, or its rows, would be wrong and nobody see it in the loss."""
    task = task._replace(unlabelled=())
    free = _features(task, Mmd(strength=0.0))
    assert multi_kernel_mmd(*_features(task, Mmd(strength=50.0))) < 0.9 * multi_kernel_mmd(*free)
    assert coral(*_features(task, Coral(strength=100.0))) < 0.2 * coral(*free)


@pytest.mark.parametrize("options", [Coral(), Mmd()], ids=lambda one: one.type)
def test_other_classes_have_a_head_of_their_own(task: Task, options: Alignment) -> None:
    """Disjoint labels would be mixed up, or the source not be learned from."""
    other = task._replace(source=_source(("flower", "mammal")))
    fitted = _fit(other, options)
    assert fitted.model.head.weight.shape[0] == len(TARGET)
    fewer = other._replace(source=_source(("flower",)))
    assert not _same(_weights(fitted), _weights(_fit(fewer, options)))


def test_shared_classes_alone_are_aligned(task: Task) -> None:
    """A class without its like would be pulled onto another."""
    recorder = Recorder()
    wider = task._replace(source=_source((*TARGET[:2], "mammal")))
    fitted = _fit(wider, Coral(), recorder)
    assert recorder.said("8 of its 12 images")
    assert recorder.said("Unlabelled images are not used")
    fewer = task._replace(source=_source(TARGET[:2]), unlabelled=())
    assert _same(_weights(fitted), _weights(_fit(fewer, Coral())))


def test_a_discriminator_needs_shared_classes_and_warns_of_others(task: Task) -> None:
    """The published failure would come without a word."""
    with pytest.raises(EngineError) as caught:
        _fit(task._replace(source=_source(("flower", "mammal"))), Dann())
    assert caught.value.code is ErrorCode.LABEL_SPACES_DISJOINT
    assert caught.value.param == "source_dataset"
    recorder = Recorder()
    _fit(task._replace(source=_source((*TARGET, "mammal"))), Dann(), recorder, epochs=1)
    assert [level for level, text, _ in recorder.events if "known to do harm" in text] == ["warn"]
    with pytest.raises(EngineError) as caught:
        _fit(task._replace(source=None), Dann())
    assert caught.value.code is ErrorCode.VALIDATION_FAILED


def _kept(task: Task, resume: Path | None, recorder: Recorder) -> Task:
    files = CheckpointFiles(task.workspace / "checkpoints", {"run": 1}, resume, recorder)
    return task._replace(checkpoints=files)


@pytest.mark.parametrize(
    ("options", "classes"),
    [(Dann(), TARGET), (Coral(), ("flower", "mammal"))],
    ids=["dann", "coral"],
)
def test_a_resumed_training_ends_as_an_unbroken_one_to_the_bit(
    task: Task, options: Alignment, classes: Sequence[str]
) -> None:
    """A pause would lose the discriminator, or the source's own head."""
    task = task._replace(source=_source(classes))
    wanted: dict[str, Any] = {"augmentation": "light", "early_stopping_patience": 5}
    unbroken = _fit(task, options, **wanted)
    paused = Recorder(pause_at=2)
    with pytest.raises(RunPausedError):
        _fit(_kept(task, None, paused), options, paused, **wanted)
    path, step = paused.checkpoints[-1]
    assert step == 3
    resumed = _fit(_kept(task, path, Recorder()), options, **wanted)
    assert _same(_weights(unbroken), _weights(resumed))
    assert unbroken.candidates == resumed.candidates


def test_a_cancel_ends_it_and_a_stop_keeps_a_model(task: Task) -> None:
    """Either wish would wait for the last epoch."""
    with pytest.raises(RunCancelledError):
        _fit(task, Dann(), Recorder(cancel_in="training"))
    recorder = Recorder(stop_in="training")
    _fit(task, Dann(), recorder)
    assert len(recorder.values["train_loss"]) == 1
