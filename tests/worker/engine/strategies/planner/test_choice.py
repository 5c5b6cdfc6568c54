"""The simplest head is taken unless another one surely beats it."""

import pytest
import torch
from torch import Tensor

from regraft.contract.metrics import Gain
from worker.engine import evaluate
from worker.engine.head import Head
from worker.engine.strategies.planner.choice import chosen, is_safe, pooled
from worker.engine.strategies.planner.heads import Judged

LABELS = torch.zeros(100, dtype=torch.int64)


def _judged(name: str, right: int, *, uses_source: bool = False) -> Judged:
    logits = torch.zeros(100, 2)
    logits[:right, 0], logits[right:, 1] = 1, 1
    head = Head(torch.zeros(2, 3), torch.zeros(2), None)
    return Judged(name, {}, head, logits, 0.0, uses_source)


def _taken(*heads: Judged, labels: Tensor = LABELS) -> str:
    return chosen(heads, labels).name


def test_what_cannot_be_told_apart_stays_the_simplest() -> None:
    """Luck on a few images would choose, and another draw of them otherwise."""
    assert _taken(_judged("simple", 80), _judged("other", 82)) == "simple"
    assert _taken(_judged("simple", 80), _judged("other", 95)) == "other"


def test_a_source_is_taken_on_less_evidence_than_a_luxury() -> None:
    """With three images a class nothing is sure, and the source's eight points would be lost."""
    simple = _judged("simple", 80)
    assert _taken(simple, _judged("source", 83, uses_source=True)) == "source"
    assert _taken(simple, _judged("source", 80, uses_source=True)) == "simple"
    assert _taken(simple, _judged("source", 70, uses_source=True)) == "simple"


def test_a_trusted_source_is_left_on_one_standard_error_and_not_for_luck() -> None:
    """Forty images would choose by chance between a source that helps and none."""
    trusted = _judged("source", 80, uses_source=True)._replace(is_trusted=True)
    assert _taken(_judged("simple", 80), trusted) == "source"
    assert _taken(_judged("simple", 83), trusted) == "simple"
    assert _taken(_judged("simple", 78), _judged("other", 79), trusted) == "source"


def test_without_images_the_first_is_taken() -> None:
    """One image of each class would end in an error."""
    none = torch.zeros(0, dtype=torch.int64)
    one = _judged("simple", 80)._replace(logits=torch.zeros(0, 2))
    assert _taken(one, one._replace(name="other"), labels=none) == "simple"
    trusted = one._replace(name="source", uses_source=True, is_trusted=True)
    assert _taken(one, trusted, labels=none) == "source"


def test_a_model_with_a_source_is_safe_on_one_standard_error() -> None:
    """What gains eight points of fifty images could never be delivered."""
    better = Gain(points=8.0, interval=(-6.0, 22.0))
    assert is_safe(better, uses_source=True)
    assert not is_safe(better)
    assert not is_safe(Gain(points=8.0, interval=(-9.0, 25.0)), uses_source=True)
    assert is_safe(Gain(points=0.5, interval=(-0.9, 1.9)), uses_source=True)


def test_gains_on_two_sets_of_images_count_as_on_both_together() -> None:
    """Ten held-out images would overrule two hundred that were left out."""
    labels = torch.zeros(300, dtype=torch.int64)
    chance = torch.Generator().manual_seed(0)
    first, second = (
        torch.rand(300, 2, generator=chance) - torch.tensor([0.0, x]) for x in (0.3, 0.2)
    )
    whole = evaluate.gain(labels, first, second)
    parts = [
        evaluate.gain(labels[part], first[part], second[part])
        for part in (slice(200), slice(200, 300))
    ]
    found = pooled(parts[0], 200, parts[1], 100)
    assert found.points == pytest.approx(whole.points)
    assert found.interval == pytest.approx(whole.interval, abs=0.5)
