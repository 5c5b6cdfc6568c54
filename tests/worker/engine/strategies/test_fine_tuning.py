"""Fine-tuning does what its formulas say, to the bit where they say so."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.job import Hyperparameters
from regraft.contract.strategies import FineTuning, FullFinetune, L2Sp, LpFt, PartialFinetune
from tests.worker.engine.conftest import SAMPLES
from tests.worker.engine.random_backbone import random_record
from tests.worker.engine.recorder import Recorder
from tests.worker.engine.tasks import task_of
from worker.engine import backbone as backbones
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import CheckpointFiles
from worker.engine.context import RunCancelledError, RunPausedError
from worker.engine.data import load
from worker.engine.failures import EngineError
from worker.engine.runspec import DataSource
from worker.engine.strategies import STRATEGIES, Fitted, Task
from worker.engine.strategies.fine_tuning import Variant, fine_tuned
from worker.engine.strategies.linear_probe import material_of, solve_head
from worker.engine.training.examples import Pixels, cheapest
from worker.engine.training.network import Network
from worker.engine.training.objective import Batch, CrossEntropy
from worker.engine.tuned import TunedFeatures

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """MobileNetV3 with random weights on small pictures: quick, with batch-norm and dropout."""
    folder = tmp_path_factory.mktemp("weights")
    return backbones.of_record(random_record("mobilenet_v3_small", folder), folder)


@pytest.fixture
def task(small: Backbone, tmp_path: Path) -> Task:
    images = load(DataSource(folder=SAMPLES / "target"))[::3]
    wanted = Hyperparameters(epochs=2, batch_size=16, learning_rate=0.01)
    features = TunedFeatures(small, Recorder())
    return task_of(small, images, features, tmp_path, wanted=wanted, seed=1)


def _fit(
    task: Task, options: FineTuning, recorder: Recorder | None = None, **wanted: Any
) -> Fitted:
    task = task._replace(wanted=task.wanted.model_copy(update=wanted))
    return STRATEGIES[options.type](task, options, recorder or Recorder())


def _weights(fitted: Fitted) -> dict[str, Tensor]:
    return fitted.model.backbone.module.state_dict() | {"head": fitted.model.head.weight}


def _same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_two_trainings_with_one_seed_are_the_same_to_the_bit(task: Task) -> None:
    """A repeated job would deliver another model; dropout, mixup and crops all draw."""
    drawn: dict[str, Any] = {"mixup": 0.4, "label_smoothing": 0.1, "augmentation": "standard"}
    first = _weights(_fit(task, FullFinetune(), class_balanced=True, **drawn))
    torch.manual_seed(99)
    assert _same(first, _weights(_fit(task, FullFinetune(), class_balanced=True, **drawn)))
    other = task._replace(seed=2)
    assert not _same(first, _weights(_fit(other, FullFinetune(), class_balanced=True, **drawn)))


def test_l2_sp_without_a_pull_is_plain_fine_tuning_to_the_bit(task: Task) -> None:
    """The penalty would do something else besides."""
    plain = _weights(_fit(task, FullFinetune(), weight_decay=0.0))
    assert _same(plain, _weights(_fit(task, L2Sp(alpha=0.0, beta=0.0))))
    assert not _same(plain, _weights(_fit(task, L2Sp(alpha=0.1, beta=0.0))))


def test_a_very_strong_pull_returns_the_source(task: Task, small: Backbone) -> None:
    """A penalty taken as a gradient would make the weights explode instead."""
    held = _fit(task, L2Sp(alpha=1e12)).model.backbone.module
    for name, source in small.module.named_parameters():
        assert torch.allclose(held.get_parameter(name), source, atol=1e-6), name


def test_a_stronger_pull_stays_nearer(task: Task, small: Backbone) -> None:
    """`alpha` would not be the dial it is said to be."""

    def distance(alpha: float) -> float:
        found = _fit(task, L2Sp(alpha=alpha)).model.backbone.module
        pairs = ((found.get_parameter(n), one) for n, one in small.module.named_parameters())
        return float(sum((one - other).square().sum() for one, other in pairs))

    free, loose, tight = distance(0.0), distance(1.0), distance(100.0)
    assert free > loose > tight > 0


def test_frozen_stages_stay_as_they_were_to_the_bit(task: Task, small: Backbone) -> None:
    """What is said to be frozen would have learned, at least in its batch-norm statistics."""
    fitted = _fit(task, PartialFinetune(freeze_until="stage3"))
    before, after = small.module.state_dict(), fitted.model.backbone.module.state_dict()
    pieces = Network(small, 2).pieces
    frozen = {name for name in before if any(piece.has(name) for piece in pieces[:3])}
    assert len(frozen) > 50
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["features.12.0.weight"], after["features.12.0.weight"])


def test_frozen_stages_are_computed_once_where_pictures_never_change(task: Task) -> None:
    """The quick way would train another model than the long way, or on other pixels."""
    network = Network(task.backbone, task.num_classes)
    network.train_from(3)
    pixels = Pixels(task.images, task.backbone.record, task.workspace, Recorder())
    quick = cheapest(pixels, len(task.images), network, Recorder())
    assert quick.entry == 3
    numbers = torch.tensor([5, 0, 31])
    network.eval()
    with torch.no_grad():
        expected = network(pixels.draw(numbers))
        assert torch.allclose(network(quick.draw(numbers), quick.entry), expected, atol=1e-5)
        assert torch.equal(network.features(pixels.draw(numbers)), _evaluated(task, numbers))


def _evaluated(task: Task, numbers: Tensor) -> Tensor:
    images = [task.images[number] for number in numbers.tolist()]
    return TunedFeatures(task.backbone, Recorder()).of(images)


def test_lp_ft_starts_from_the_solved_head(task: Task) -> None:
    """Without its first half LP-FT is plain fine-tuning, and distorts the features."""
    solved = solve_head(material_of(task), Hyperparameters(), Recorder()).head
    fitted = _fit(task, LpFt(), learning_rate=1e-9, weight_decay=0.0, epochs=1)
    assert torch.allclose(fitted.model.head.weight, solved.weight, atol=1e-6)


def test_gradual_unfreezing_trains_the_head_alone_first(task: Task, small: Backbone) -> None:
    """The first epochs would destroy what the option is there to keep."""
    options = FullFinetune(gradual_unfreezing=True)
    first = _fit(task, options, epochs=1).model.backbone.module.state_dict()
    assert _same(small.module.state_dict(), first)
    second = _fit(task, options, epochs=2).model.backbone.module.state_dict()
    pieces = Network(small, 2).pieces
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert changed
    assert all(pieces[-1].has(name) for name in changed)


def test_early_stopping_keeps_the_best_epoch_and_calibrates(task: Task) -> None:
    """The last epoch would be delivered, however overfitted; and nothing said of its score."""
    recorder = Recorder()
    fitted = _fit(task, FullFinetune(), recorder, epochs=6, early_stopping_patience=2)
    accuracies = recorder.values["inner_accuracy"]
    (candidate,) = fitted.candidates
    assert candidate.score == max(accuracies)
    assert fitted.model.head.temperature is not None
    held = [one for one, fold in zip(task.images, task.folds.tolist(), strict=True) if fold == 0]
    guessed = fitted.model.logits(held).argmax(dim=1)
    right = float((guessed == task.labels[task.folds == 0]).double().mean())
    assert right == pytest.approx(candidate.score)


def test_a_loss_that_is_no_number_ends_with_its_step(task: Task) -> None:
    """A model of NaN would be delivered, or the user not know what to change."""
    with pytest.raises(EngineError, match=r"at step \d+") as caught:
        _fit(task, FullFinetune(backbone_lr_factor=1.0), learning_rate=10.0, epochs=30)
    assert caught.value.code is ErrorCode.DIVERGED
    assert caught.value.param == "hyperparameters.learning_rate"


class _Hungry(CrossEntropy):
    """Runs out of memory with more than four images at once."""

    def forward(self, network: Network, batch: Batch) -> Tensor:
        if len(batch.inputs) > 4:
            raise MemoryError
        return super().forward(network, batch)


def test_a_batch_that_does_not_fit_is_passed_in_parts(task: Task) -> None:
    """A job would fail on a small machine; or learn something else there."""
    recorder, options = Recorder(), PartialFinetune(freeze_until="stage4")
    plain = Variant(lambda _: [], {})
    task = task._replace(wanted=task.wanted.model_copy(update={"epochs": 1}))
    fitted = fine_tuned(task, options, plain._replace(objective=_Hungry()), recorder)
    assert [data["micro_batch"] for _, _, data in recorder.events] == [8, 4]
    whole = fine_tuned(task, options, plain, Recorder())
    assert torch.allclose(fitted.model.head.bias, whole.model.head.bias, atol=2e-2)


def test_a_cancel_ends_it_and_a_stop_keeps_a_model(task: Task) -> None:
    """Either wish would wait for the last epoch."""
    with pytest.raises(RunCancelledError):
        _fit(task, FullFinetune(), Recorder(cancel_in="training"))
    recorder = Recorder(stop_in="training")
    _fit(task, FullFinetune(), recorder)
    assert len(recorder.values["train_loss"]) == 1


def _kept(task: Task, resume: Path | None, recorder: Recorder) -> Task:
    files = CheckpointFiles(task.workspace / "checkpoints", {"run": 1}, resume, recorder)
    return task._replace(checkpoints=files)


@pytest.mark.parametrize("pause_at", [0, 3, 4])
def test_a_resumed_training_ends_as_an_unbroken_one_to_the_bit(task: Task, pause_at: int) -> None:
    """A pause would change the model: in the middle of an epoch, and at its end."""
    options = L2Sp(alpha=0.5)
    wanted: dict[str, Any] = {"mixup": 0.3, "early_stopping_patience": 5, "epochs": 3}
    unbroken = _fit(task, options, **wanted)
    paused = Recorder(pause_at=pause_at)
    with pytest.raises(RunPausedError):
        _fit(_kept(task, None, paused), options, paused, **wanted)
    (path, step) = paused.checkpoints[-1]
    assert step == pause_at + 1
    resumed = _fit(_kept(task, path, Recorder()), options, **wanted)
    assert _same(_weights(unbroken), _weights(resumed))
    assert unbroken.candidates == resumed.candidates
    assert unbroken.model.head.temperature == resumed.model.head.temperature


def test_a_trained_network_is_not_trained_again(task: Task) -> None:
    """A failure of the export would cost the whole training a second time."""
    first = Recorder()
    trained = _fit(_kept(task, None, first), FullFinetune(), first)
    again = Recorder()
    path, _ = first.checkpoints[-1]
    resumed = _fit(_kept(task, path, again), FullFinetune(), again)
    assert "train_loss" not in again.values
    assert _same(_weights(trained), _weights(resumed))
