"""The frozen head is what a merchant gets where transfer harms, or might."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from regraft.contract.metrics import Gain, Guard
from regraft.contract.strategies import AutoStrategy, PartialFinetune, Prototype
from tests.worker.engine.conftest import SAMPLES, MakeSpec
from tests.worker.engine.recorder import Recorder
from tests.worker.engine.tasks import task_of
from worker.engine.backbone import Backbone
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.export.segments import compose
from worker.engine.features import Features
from worker.engine.guard import Contest, Guarded, Held, guarded
from worker.engine.runner import run
from worker.engine.strategies import STRATEGIES, Fitted, Task
from worker.engine.strategies.linear_probe import frozen_head

pytestmark = pytest.mark.usefixtures("one_thread")
NOBODY = Held([], torch.zeros(0, dtype=torch.int64))


@pytest.fixture
def whole(backbone: Backbone, features: Features, images: list[Image], tmp_path: Path) -> Task:
    """All of the sample's target images."""
    return task_of(backbone, images, features, tmp_path)


def _half(task: Task, *, even: bool) -> Task:
    return task.where(torch.arange(len(task.images)) % 2 == (0 if even else 1))


def _held(task: Task) -> Held:
    return Held(task.images, task.labels)


def _as_tuned(fitted: Fitted) -> Fitted:
    """Return a model whose backbone is its own, as a fine-tuned one's is."""
    backbone = fitted.model.backbone
    own = backbone._replace(module=copy.deepcopy(backbone.module))
    return fitted._replace(model=fitted.model._replace(backbone=own, is_frozen=False))


def _misled(task: Task, options: Any, context: Context) -> Fitted:
    """Learn from labels that are another class's: what a source with other meanings teaches."""
    del options
    return frozen_head(task._replace(labels=(task.labels + 1) % task.num_classes), context)


def _is_the_baseline(found: Guarded, baseline: Fitted) -> None:
    assert found.decision.decision == "baseline_delivered"
    assert found.model is baseline.model
    assert found.strategy == "linear_probe"
    chosen = [one.strategy for one in found.candidates if one.chosen]
    assert chosen == ["linear_probe"]


def test_a_strategy_that_misleads_is_caught_on_images_left_out(
    whole: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative transfer would be delivered, and on its own training images even look good."""
    monkeypatch.setitem(STRATEGIES, "prototype", _misled)
    baseline, recorder = frozen_head(whole, Context()), Recorder()
    fitted = _misled(whole, Prototype(), Context())
    found = guarded(whole, Contest(whole, Prototype(), fitted, baseline), NOBODY, recorder)
    _is_the_baseline(found, baseline)
    assert found.decision.num_images == len(whole.images)
    assert found.decision.compared_on == "left_out"
    assert found.decision.gain is not None
    assert found.decision.gain.interval[1] < -50
    assert "It is worse" in found.decision.reason
    assert recorder.said("the frozen head is delivered")


def test_a_tuned_backbone_that_is_surely_better_is_delivered(whole: Task) -> None:
    """The guard would keep back what the merchant asked for, whatever it gains."""
    task = _half(whole, even=True)
    few = task.where(torch.arange(len(task.images)) % 15 == 0)
    poor = _misled(few, None, Context())
    fitted = _as_tuned(frozen_head(task, Context()))
    held = _held(_half(whole, even=False))
    found = guarded(task, Contest(task, PartialFinetune(), fitted, poor), held, Recorder())
    assert found.decision.decision == "delivered"
    assert found.model is fitted.model
    assert found.strategy == "partial_finetune"
    assert found.decision.compared_on == "validation"
    assert "flattered" in found.decision.reason


def test_what_cannot_be_told_apart_stays_the_frozen_head(whole: Task) -> None:
    """A costlier model would be delivered for nothing, or for luck."""
    task, held = _half(whole, even=True), _held(_half(whole, even=False))
    baseline = frozen_head(task, Context())
    contest = Contest(task, PartialFinetune(), _as_tuned(baseline), baseline)
    found = guarded(task, contest, held, Recorder())
    _is_the_baseline(found, baseline)
    assert found.decision.gain is not None
    assert found.decision.gain.points == 0
    assert "no safe gain" in found.decision.reason


def test_without_any_image_to_compare_on_the_frozen_head_stays(whole: Task) -> None:
    """One photo of each class proves nothing, and a risk would be taken all the same."""
    first = torch.tensor([whole.labels.tolist().index(n) for n in range(whole.num_classes)])
    kept = torch.zeros(len(whole.images)).index_fill(0, first, 1).bool()
    task = whole.where(kept)
    task = task._replace(folds=torch.full_like(task.folds, -1))
    baseline = frozen_head(task, Context())
    found = guarded(task, Contest(task, Prototype(), baseline, baseline), NOBODY, Recorder())
    _is_the_baseline(found, baseline)
    assert found.decision.gain is None
    assert "no images to compare" in found.decision.reason


def test_held_out_images_count_with_those_that_a_choice_was_made_by(whole: Task) -> None:
    """A handful of held-out images would undo every fine-tuning that hundreds have chosen."""
    task, held = _half(whole, even=True), _held(_half(whole, even=False))
    baseline = frozen_head(task, Context())
    tuned = _as_tuned(baseline)  # on the held-out images just as good

    def decided(points: float, low: float) -> Guarded:
        gain = Gain(points=points, interval=(low, 2 * points - low))
        guard = Guard(decision="delivered", reason="It gained.", gain=gain, num_images=240)
        contest = Contest(task, AutoStrategy(), tuned._replace(decision=guard), baseline)
        return guarded(task, contest, held, Recorder())

    kept = decided(10.0, 4.0)
    assert kept.decision.decision == "delivered"
    assert kept.decision.num_images == 240 + len(held.images)
    assert kept.decision.gain is not None
    assert 0 < kept.decision.gain.points < 10
    _is_the_baseline(decided(1.0, -8.0), baseline)


def test_what_was_chosen_unseen_must_not_do_worse_on_held_out_images(whole: Task) -> None:
    """Experience with other images would be believed against the merchant's own."""
    task, held = _half(whole, even=True), _held(_half(whole, even=False))
    baseline, unseen = frozen_head(task, Context()), Guard(decision="delivered", reason="Unseen.")
    good, bad = (_as_tuned(one)._replace(decision=unseen) for one in (baseline, _misled_by(task)))
    found = guarded(task, Contest(task, AutoStrategy(), good, baseline), held, Recorder())
    assert found.decision.decision == "delivered"
    found = guarded(task, Contest(task, AutoStrategy(), bad, baseline), held, Recorder())
    _is_the_baseline(found, baseline)
    assert "So the frozen head is delivered" in found.decision.reason


def _misled_by(task: Task) -> Fitted:
    return _misled(task, None, Context())


def test_leaving_a_fold_out_keeps_the_others_for_cross_validation(whole: Task) -> None:
    """The strategy would see the images it is judged by, or stop early on none."""
    for number in range(5):
        rest = whole.without(number)
        held = whole.where(whole.folds == number)
        assert not {one.sha256 for one in rest.images} & {one.sha256 for one in held.images}
        assert set(rest.folds.tolist()) == {0, 1, 2, 3}


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """Ten images of each of three classes."""
    for name in ("bag", "sandal", "sneaker"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for path in sorted((SAMPLES / "target" / name).iterdir())[:10]:
            shutil.copy(path, tmp_path / "few" / name)
    return tmp_path / "few"


ABSURD = {"learning_rate": 0.5, "epochs": 1, "augmentation": "none"}


def test_an_absurd_rate_ends_with_the_frozen_head_in_every_file(
    make_spec: MakeSpec, tmp_path: Path, few: Path
) -> None:
    """The report would tell of one model and the files hold another."""
    job = {"strategy": {"type": "partial_finetune"}}
    spec = make_spec(tmp_path / "run", few, None, hyperparameters=ABSURD, **job)
    result = run(spec, Context())
    plain = run(make_spec(tmp_path / "plain", few, None), Context())
    transfer = result.done.transfer
    assert transfer.guard is not None
    assert transfer.guard.decision == "baseline_delivered"
    assert transfer.guard.compared_on == "validation"
    assert transfer.explanation.startswith("Delivered is the frozen backbone with a linear head.")
    assert result.done.metrics == plain.done.metrics
    assert transfer.baseline == result.done.metrics.validation
    assert result.done.lineage["strategy"] == "linear_probe"
    assert result.done.lineage["strategy_asked"] == "partial_finetune"
    compose(result.produced, tmp_path / "ours")
    compose(plain.produced, tmp_path / "theirs")
    ours, theirs = (load_file(tmp_path / n / "model.safetensors") for n in ("ours", "theirs"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_the_guard_one_gets_what_one_asked_for(
    make_spec: MakeSpec, tmp_path: Path, few: Path
) -> None:
    """A user could not insist."""
    job: dict[str, Any] = {"strategy": {"type": "partial_finetune"}, "guard": "off", "exports": []}
    spec = make_spec(tmp_path / "run", few, None, hyperparameters=ABSURD, **job)
    done = run(spec, Context()).done
    assert done.transfer.guard is not None
    assert done.transfer.guard.decision == "delivered"
    assert "guard is off" in done.transfer.guard.reason
    assert done.lineage["strategy"] == "partial_finetune"
    assert done.metrics.validation is not None
    assert done.transfer.baseline is not None
    assert done.transfer.baseline_gain is not None
    assert done.transfer.baseline_gain.points < 0
    assert done.metrics.validation.accuracy < done.transfer.baseline.accuracy
