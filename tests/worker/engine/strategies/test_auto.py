"""The planner tries, compares on images left out, tells of it all, and takes the simplest."""

from pathlib import Path

import pytest
import torch

from regraft.contract.errors import ErrorCode
from regraft.contract.strategies import AutoStrategy, LpFt
from tests.worker.engine.conftest import SAMPLES
from tests.worker.engine.random_backbone import random_record
from tests.worker.engine.recorder import Recorder
from tests.worker.engine.tasks import source_of, task_of
from worker.engine import backbone as backbones
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import CheckpointFiles
from worker.engine.context import Context, RunCancelledError
from worker.engine.data import load
from worker.engine.failures import EngineError
from worker.engine.runspec import DataSource
from worker.engine.strategies import STRATEGIES, Fitted, Source, Task
from worker.engine.strategies.planner import choice, trials
from worker.engine.tuned import TunedFeatures

pytestmark = pytest.mark.usefixtures("one_thread")
HEADS = AutoStrategy(fine_tuning="off")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """MobileNetV3 with random weights on tiny pictures."""
    folder = tmp_path_factory.mktemp("weights")
    return backbones.of_record(random_record("mobilenet_v3_small", folder, 32), folder)


@pytest.fixture
def task(small: Backbone, tmp_path: Path) -> Task:
    images = load(DataSource(folder=SAMPLES / "target"))[::2]
    return task_of(small, images, TunedFeatures(small, Recorder()), tmp_path, seed=1)


def _fit(task: Task, options: AutoStrategy, recorder: Recorder | None = None) -> Fitted:
    return STRATEGIES["auto"](task, options, recorder or Recorder())


def test_every_head_is_told_of_with_its_score_and_one_is_taken(task: Task) -> None:
    """A merchant would have to believe the choice."""
    fitted = _fit(task, HEADS)
    names = {one.strategy for one in fitted.candidates}
    assert names == {"least_squares", "linear_probe", "prototype"}
    assert [one.chosen for one in fitted.candidates].count(True) == 1
    for one in fitted.candidates:
        assert one.score is not None
        assert one.score_interval is not None
        assert one.seconds is not None
        assert one.reason
    assert fitted.model.head.temperature is not None
    assert fitted.decision is not None
    assert fitted.decision.num_images == len(task.images)
    assert "switched off" in fitted.explanation


def test_what_is_scored_is_never_trained_on(task: Task) -> None:
    """The score would be that of the memory; on random labels it shows."""
    chance = torch.Generator().manual_seed(3)
    shuffled = task._replace(labels=task.labels[torch.randperm(60, generator=chance)])
    scores = [one.score or 0.0 for one in _fit(shuffled, HEADS).candidates]
    assert max(scores) < 0.5


def test_one_image_of_each_class_takes_the_default(task: Task) -> None:
    """There is nothing to compare, and the job would fail or claim a score."""
    first = [task.labels.tolist().index(number) for number in range(task.num_classes)]
    kept = torch.zeros(len(task.images)).index_fill(0, torch.tensor(first), 1).bool()
    few = task.where(kept)
    fitted = _fit(few._replace(folds=torch.full_like(few.folds, -1)), AutoStrategy())
    assert [one.score for one in fitted.candidates] == [None] * 3
    assert fitted.model.head.temperature is None
    assert "nothing to compare" in fitted.explanation


def test_a_source_of_the_same_labels_is_weighed_and_its_distance_told(task: Task) -> None:
    """A source would be ignored, or trusted unseen."""
    images = load(DataSource(folder=SAMPLES / "target-test"))[::4]
    recorder = Recorder()
    fitted = _fit(task._replace(source=source_of(images)), HEADS, recorder)
    assert "instance_weighting" in {one.strategy for one in fitted.candidates}
    assert 0 <= recorder.values["proxy_a_distance"][0] <= 2
    assert "proxy-A distance" in fitted.explanation


def test_too_few_images_to_tell_are_not_spent_on_fine_tuning(task: Task) -> None:
    """Minutes would be spent on a comparison that ends in chance."""
    fitted = _fit(task.where(torch.arange(len(task.images)) < 24), AutoStrategy())
    assert f"24 images left out could not tell; {trials.MIN_HELD} can" in fitted.explanation


def test_where_one_fold_is_too_small_all_images_tell(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty images would train no backbone, although all of them together can tell a gain."""
    monkeypatch.setattr(trials, "_LADDERS", ((1,),))
    recorder = Recorder()
    found = trials.halved(task, recorder)
    assert _num_judged(found) == len(task.images) == 60
    assert [int(one.judged.sum()) for one in found.dropped] == [60, 60]


def test_a_small_set_is_given_minutes_and_not_half_an_hour(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job of fifty photos, done in seconds, would take all of its hour on a slow host."""
    monkeypatch.setattr(trials, "_cost", lambda *_: 20.0)
    found = trials.halved(task._replace(seconds=3600.0), Recorder())
    assert found.winner is None
    assert "more than two minutes on this host" in found.why


def test_a_ladder_is_as_dear_as_its_folds_are_many() -> None:
    """A job would run over its limit by the number of folds."""
    costs = [(way, 1.0) for way in trials._WAYS]
    assert trials._affordable(costs, 1, 200.0) == (3, 6, 12)
    assert trials._affordable(costs, 5, 200.0) == (1, 2, 4)
    assert trials._affordable(costs, 5, 20.0) is None


def test_one_photo_of_each_class_is_drawn_to_a_source_that_knows_them(
    task: Task, backbone: Backbone
) -> None:
    """What gained most wherever it was measured would be left for a head from one photo each."""
    few, source = _one_each(task, backbone)
    recorder = Recorder()
    fitted = _fit(few._replace(source=source), AutoStrategy(), recorder)
    (taken,) = [one for one in fitted.candidates if one.chosen]
    assert taken.strategy == "mmd"
    assert taken.score is None
    assert "experience" in fitted.explanation
    assert fitted.model.backbone.module is not few.backbone.module
    assert fitted.decision is not None
    assert fitted.decision.gain is None
    assert not _tuned(_fit(few._replace(source=source, seconds=0.01), AutoStrategy()))
    assert not _tuned(_fit(few, AutoStrategy()))


def test_where_no_backbone_is_trained_such_a_source_makes_the_head(
    task: Task, backbone: Backbone
) -> None:
    """Three points or more would be lost where photos are fewest, for want of a comparison."""
    few, source = _one_each(task, backbone)
    fitted = _fit(few._replace(source=source), HEADS)
    (taken,) = [one for one in fitted.candidates if one.chosen]
    assert taken.strategy == "instance_weighting"
    assert "knows the target's labels" in taken.reason
    assert "instance_weighting" in fitted.explanation


def test_a_source_whose_labels_mean_something_else_is_not_drawn_near(
    task: Task, backbone: Backbone
) -> None:
    """Nothing is compared there: labels that mislead would make the model, unseen."""
    few, source = _one_each(task, backbone)
    misled = source._replace(labels=(source.labels + 1) % len(source.names))
    fitted = _fit(few._replace(source=misled), AutoStrategy())
    assert not _tuned(fitted)
    (taken,) = [one for one in fitted.candidates if one.chosen]
    assert taken.strategy == "least_squares"


def _one_each(task: Task, backbone: Backbone) -> tuple[Task, Source]:
    """Return the task with one image of each class and no fold, and a source of its classes."""
    real = backbone._replace(record=backbone.record._replace(input_size=32, resize=36))
    task = task._replace(backbone=real, features=TunedFeatures(real, Recorder()))
    first = [task.labels.tolist().index(number) for number in range(task.num_classes)]
    kept = torch.zeros(len(task.images)).index_fill(0, torch.tensor(first), 1).bool()
    few = task.where(kept)
    images = load(DataSource(folder=SAMPLES / "target-test"))[::5]
    return few._replace(folds=torch.full_like(few.folds, -1)), source_of(images)


def test_halving_drops_the_worse_and_goes_on_with_the_better(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All would be trained to the end, or the best dropped; with a random backbone none wins."""
    monkeypatch.setattr(trials, "MIN_HELD", 8)
    monkeypatch.setattr(trials, "_LADDERS", ((1, 2),))
    fitted = _fit(task, AutoStrategy())
    tuned = [
        one for one in fitted.candidates if one.strategy in {"partial_finetune", "lp_ft", "l2_sp"}
    ]
    assert sorted(one.hyperparameters["epochs"] for one in tuned) == [1, 2, 2]
    assert all(one.score is not None for one in tuned)
    scores = {one.hyperparameters["epochs"]: one.score for one in tuned}
    assert set(scores) == {1, 2}


def test_with_a_source_ways_that_draw_domains_together_are_tried(
    task: Task, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What helps most where a source lies far off would never be found."""
    monkeypatch.setattr(trials, "MIN_HELD", 8)
    monkeypatch.setattr(trials, "_LADDERS", ((1,),))
    # Random features can make a term explode, and what diverges is dropped.
    real = backbone._replace(record=backbone.record._replace(input_size=32, resize=36))
    task = task._replace(backbone=real, features=TunedFeatures(real, Recorder()))
    images = load(DataSource(folder=SAMPLES / "target-test"))[::5]
    tuned = _tuned(_fit(task._replace(source=source_of(images)), AutoStrategy()))
    assert tuned == ["coral", "dann", "l2_sp", "lp_ft", "mmd", "partial_finetune"]
    names = {"bag": "satchel"}
    other = [image._replace(label=names.get(image.label or "", image.label)) for image in images]
    tuned = _tuned(_fit(task._replace(source=source_of(other)), AutoStrategy()))
    assert tuned == ["coral", "l2_sp", "lp_ft", "mmd", "partial_finetune"]


def test_a_way_that_diverges_is_dropped_and_the_others_go_on(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One training that explodes, even while its cost is measured, would end the whole job."""

    def diverges(task: Task, options: LpFt, context: Context) -> Fitted:
        del task, options, context
        raise EngineError(ErrorCode.DIVERGED, "The loss is no finite number.")

    monkeypatch.setattr(trials, "MIN_HELD", 8)
    monkeypatch.setattr(trials, "_LADDERS", ((1,),))
    worse = trials.Way(LpFt(), diverges)
    monkeypatch.setattr(trials, "_WAYS", (worse, trials._WAYS[0], trials._WAYS[2]))
    recorder = Recorder()
    assert _tuned(_fit(task, AutoStrategy(), recorder)) == ["l2_sp", "partial_finetune"]
    assert recorder.said("Tried lp_ft for 1 epochs: The loss is no finite number.")


def test_a_source_that_costs_too_much_leaves_time_for_the_other_ways(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large source would end all fine-tuning."""
    monkeypatch.setattr(trials, "MIN_HELD", 8)
    monkeypatch.setattr(trials, "_LADDERS", ((1,),))
    monkeypatch.setattr(trials, "_cost", lambda _task, way, _: float(way.options.needs_source))
    images = load(DataSource(folder=SAMPLES / "target-test"))[::5]
    found = _fit(task._replace(source=source_of(images), seconds=1.0), AutoStrategy())
    assert _tuned(found) == ["l2_sp", "lp_ft", "partial_finetune"]


def _tuned(fitted: Fitted) -> list[str]:
    """Return which candidates trained a backbone."""
    heads = {"least_squares", "linear_probe", "prototype", "instance_weighting"}
    return sorted({one.strategy for one in fitted.candidates} - heads)


def test_the_winner_alone_is_trained_with_the_checkpoints_of_the_run(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial's checkpoint would be resumed from as if it were the model's."""
    monkeypatch.setattr(trials, "MIN_HELD", 8)
    monkeypatch.setattr(trials, "_LADDERS", ((1,),))
    monkeypatch.setattr(choice, "is_safe", lambda _gain, **_: True)
    recorder = Recorder()
    files = CheckpointFiles(task.workspace / "checkpoints", {}, None, recorder)
    fitted = _fit(task._replace(checkpoints=files), AutoStrategy(), recorder)
    (taken,) = [one for one in fitted.candidates if one.chosen]
    assert taken.strategy in {"partial_finetune", "lp_ft", "l2_sp"}
    assert fitted.model.backbone.module is not task.backbone.module
    steps = [step for _, step in recorder.checkpoints]
    assert steps[-1] == 5  # four steps over all 60 images, and the mark of the end
    assert steps == sorted(steps)
    assert fitted.decision is not None
    assert fitted.decision.num_images == len(task.images)


def test_the_winner_is_judged_by_more_images_only_while_there_is_time(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve images could not tell a gain of ten points from chance, or a job end too late."""
    monkeypatch.setattr(trials, "MIN_HELD", 8)
    monkeypatch.setattr(trials, "_LADDERS", ((1,),))
    monkeypatch.setattr(trials, "_cost", lambda *_: 0.0)
    assert _num_judged(trials.halved(task, Recorder())) == len(task.images)
    assert _num_judged(trials.halved(task._replace(seconds=0.1), Recorder())) == 12


def _num_judged(found: trials.Halving) -> int:
    assert found.winner is not None
    logits, judged = found.winner.logits, found.winner.judged
    assert torch.equal((logits != 0).any(dim=1), judged)
    return int(judged.sum())


def test_time_that_does_not_suffice_is_not_begun(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of minutes would end the job in the middle of a trial."""
    monkeypatch.setattr(trials, "MIN_HELD", 8)
    fitted = _fit(task._replace(seconds=0.1), AutoStrategy())
    assert "not enough time" in fitted.explanation


def test_a_cancel_ends_it_and_a_stop_leaves_a_model(task: Task) -> None:
    """A cancel would wait for all candidates, or a stop leave without a model."""
    cancelled, stopped = Recorder(cancel_in="training"), Recorder(stop_in="training")
    for recorder in (cancelled, stopped):
        recorder.progress("training", 0.6)
    with pytest.raises(RunCancelledError):
        _fit(task, HEADS, cancelled)
    assert _fit(task, AutoStrategy(), stopped).model.head.weight.shape == (4, 1024)
