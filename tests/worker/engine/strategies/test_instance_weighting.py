"""Weighted source images help a head, and only as far as they are like the target's."""

from typing import Any

import pytest
import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from regraft.contract.job import Hyperparameters
from regraft.contract.strategies import InstanceWeighting
from tests.worker.engine.recorder import Recorder
from tests.worker.engine.strategies.vectors import Vectors, task_of
from worker.engine.backbone import Backbone
from worker.engine.context import RunCancelledError
from worker.engine.data import Image
from worker.engine.failures import EngineError
from worker.engine.guard import Contest, Held, guarded
from worker.engine.strategies import Fitted, Task
from worker.engine.strategies.instance_weighting import instance_weighting, weighted
from worker.engine.strategies.linear_probe import frozen_head, material_of, solve_head

pytestmark = pytest.mark.usefixtures("one_thread")

WEIGHTINGS = ("density_ratio", "kmm", "tradaboost")
WIDTH = 8


def _rows(count: int, shift: float, seed: int) -> Tensor:
    chance = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, WIDTH, generator=chance)
    rows[:, 0] += shift
    return rows


def _named(rows: Tensor) -> list[str]:
    """Name rows by a rule that both domains keep: on which side of zero the second number is."""
    return ["left" if row[1] < 0 else "right" for row in rows]


@pytest.fixture
def vectors() -> Vectors:
    return Vectors()


@pytest.fixture
def target(vectors: Vectors) -> list[Image]:
    rows = _rows(16, 1.0, 1)
    return vectors.images(rows, _named(rows))


@pytest.fixture
def source(vectors: Vectors) -> list[Image]:
    rows = _rows(200, 0.0, 2)
    return vectors.images(rows, _named(rows))


@pytest.fixture
def task(backbone: Backbone, vectors: Vectors, target: list[Image], source: list[Image]) -> Task:
    return task_of(backbone, vectors, target, source)


def _fit(task: Task, weighting: str, recorder: Recorder | None = None, **options: Any) -> Fitted:
    chosen = InstanceWeighting.model_validate({"weighting": weighting, **options})
    return instance_weighting(task, chosen, recorder or Recorder())


def _right(fitted: Fitted, rows: Tensor) -> float:
    found = fitted.model.head.logits(rows).argmax(dim=1)
    truth = torch.tensor([["left", "right"].index(name) for name in _named(rows)])
    return float((found == truth).double().mean())


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_source_of_the_same_rule_helps(task: Task, weighting: str) -> None:
    """The source would be read, weighted and of no use."""
    test = _rows(2000, 1.0, 3)
    alone = solve_head(material_of(task), Hyperparameters(), Recorder()).head
    expected = _right(_fit(task, weighting), test)
    found = alone.logits(test).argmax(dim=1)
    truth = torch.tensor([["left", "right"].index(name) for name in _named(test)])
    assert expected > float((found == truth).double().mean()) + 0.03
    assert expected > 0.8


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_candidates_are_scored_on_target_images_alone(
    task: Task, target: list[Image], weighting: str
) -> None:
    """A score on source images promises what the target does not keep."""
    recorder = Recorder()
    fitted = _fit(task, weighting, recorder)
    for one in fitted.candidates:
        assert one.strategy == "instance_weighting"
        assert one.hyperparameters["weighting"] == weighting
        assert one.score is not None
        assert (one.score * len(target)) == pytest.approx(round(one.score * len(target)))
    assert recorder.said("200 source images")
    assert weighting in fitted.explanation


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_two_fits_are_the_same_to_the_bit(task: Task, weighting: str) -> None:
    """A repeated job would deliver another model."""
    first, second = _fit(task, weighting), _fit(task, weighting)
    assert torch.equal(first.model.head.weight, second.model.head.weight)
    assert first.model.head.temperature == second.model.head.temperature


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_images_of_other_classes_weigh_nothing(
    task: Task, vectors: Vectors, source: list[Image], weighting: str
) -> None:
    """A class that the target does not have would need a place in its head."""
    more = [*source, *vectors.images(_rows(50, 3.0, 4), ["another"] * 50)]
    wider = task_of(task.backbone, vectors, list(task.images), more)
    fitted = _fit(wider, weighting)
    assert torch.equal(fitted.model.head.weight, _fit(task, weighting).model.head.weight)
    assert "50 of other classes left out" in fitted.explanation


def test_classes_without_one_in_common_are_refused(
    backbone: Backbone, vectors: Vectors, target: list[Image]
) -> None:
    """Every source image would weigh nothing, and nobody be told."""
    others = vectors.images(_rows(20, 0.0, 5), ["up", "down"] * 10)
    with pytest.raises(EngineError, match="left") as caught:
        _fit(task_of(backbone, vectors, target, others), "kmm")
    assert caught.value.code is ErrorCode.LABEL_SPACES_DISJOINT
    assert caught.value.param == "source_dataset"
    with pytest.raises(EngineError) as caught:
        _fit(task_of(backbone, vectors, target, []), "kmm")
    assert caught.value.code is ErrorCode.VALIDATION_FAILED


def test_source_images_like_the_targets_weigh_more(task: Task, source: list[Image]) -> None:
    """Weights the wrong way round would make the shift worse."""
    assert task.source is not None
    places = task.features.of(source)[:, 0]
    for weighting in ("density_ratio", "kmm"):
        chosen = InstanceWeighting.model_validate({"weighting": weighting})
        features = task.features.of(source)
        labels = task.source.labels
        found = weighted(material_of(task), features, labels, chosen, Recorder()).weights
        assert found is not None
        weights = found[-1, len(task.images) :].float()
        assert float(weights[places > 0.5].mean()) > 1.3 * float(weights[places < -0.5].mean())
        assert float(weights.max() / weights.mean()) <= 11
        assert float(weights.sum()) == pytest.approx(0.3 * len(task.images), rel=1e-4)


def test_a_source_whose_labels_mean_something_else_is_kept_back(
    task: Task, vectors: Vectors, target: list[Image], source: list[Image]
) -> None:
    """Negative transfer: what a source does to a model would be delivered without a word."""
    swapped = {"left": "right", "right": "left"}
    lying = [image._replace(label=swapped[image.label or ""]) for image in source]
    misled = task_of(task.backbone, vectors, target, lying)
    options = InstanceWeighting(weighting="density_ratio", source_weight=100.0)
    fitted = instance_weighting(misled, options, Recorder())
    head, test, recorder = frozen_head(misled, Recorder()), _rows(2000, 1.0, 3), Recorder()
    assert _right(fitted, test) < _right(head, test) - 0.3
    contest = Contest(misled, options, fitted, head)
    found = guarded(misled, contest, Held([], torch.zeros(0).long()), recorder)
    assert found.decision.decision == "baseline_delivered"
    assert found.decision.num_images == len(target)
    assert found.model is head.model
    assert recorder.said("the frozen head is delivered")


def test_the_weights_of_a_fold_never_saw_its_labels(task: Task) -> None:
    """Cross-validation that leaks promises what the model cannot keep."""
    assert task.source is not None
    chosen = InstanceWeighting(weighting="tradaboost")
    features, labels = task.features.of(task.source.images), task.source.labels.clone()
    labels[::3] = 1 - labels[::3]  # mistakes for the rounds to find
    material = material_of(task)
    plain = weighted(material, features, labels, chosen, Recorder()).weights
    lied = torch.where(material.folds == 0, 1 - material.labels, material.labels)
    turned = weighted(material._replace(labels=lied), features, labels, chosen, Recorder()).weights
    assert plain is not None
    assert turned is not None
    assert torch.equal(plain[0], turned[0])
    assert not torch.equal(plain[-1], turned[-1])
    assert float(plain[-1].max()) > 1.5 * float(plain[-1].min())


def test_a_cancel_ends_it_in_any_round(task: Task) -> None:
    """A cancelled job would go on boosting."""
    recorder = Recorder(cancel_in="training")
    recorder.progress("training", 0.6)
    with pytest.raises(RunCancelledError):
        _fit(task, "tradaboost", recorder)
