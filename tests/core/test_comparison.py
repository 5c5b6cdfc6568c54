"""Two models are compared on the same images or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.comparison import MIN_IMAGES, Judged, compare
from regraft.contract.held_out import HeldOut, Prediction
from regraft.contract.metrics import JobMetrics
from regraft.contract.registry import Comparison
from tests.regraft import examples


def said(answers: str, first: int = 0, label: str = "mug") -> list[Prediction]:
    """Return predictions for images numbered from `first`: `+` is right, `-` is wrong."""
    return [
        Prediction(
            image=f"{number}.jpg",
            sha256=str(number),
            label=label,
            predicted=label if answer == "+" else "cup",
            probability=0.9,
        )
        for number, answer in enumerate(answers, first)
    ]


def judged(test: str = "", validation: str = "") -> Judged:
    """Return a model with these answers."""
    held_out = HeldOut(test=said(test), validation=said(validation, 1000))
    return Judged("md_1", None, JobMetrics(), held_out)


def found(new: Judged, before: Judged) -> Comparison:
    """Return a comparison that there must be."""
    comparison = compare(new, before)
    assert comparison is not None
    return comparison


def test_the_same_images_are_paired() -> None:
    """A difference of one image would be read off two different tests."""
    comparison = found(judged("+" * 90 + "-" * 10), judged("+" * 88 + "-" * 7 + "+" * 5))
    assert (comparison.images, comparison.num_images) == ("test", 100)
    assert (comparison.num_right, comparison.num_right_before) == (90, 93)
    assert comparison.gain.points == pytest.approx(-3)
    low, high = comparison.gain.interval
    assert low < -3 < high


def test_without_test_images_the_shared_held_out_ones_count() -> None:
    """Most jobs have no test dataset: their models could never be compared."""
    comparison = found(judged("", "-" * 20), judged("+" * 50, "+" * 20))
    assert (comparison.images, comparison.num_right) == ("validation", 0)
    assert comparison.gain.interval[1] < 0


def test_too_few_shared_images_compare_nothing() -> None:
    """A coin toss would keep a good model out."""
    few = "+" * (MIN_IMAGES - 1)
    assert compare(judged(few), judged("-" * 100)) is None
    assert compare(judged(few + "+"), judged("-" * 100)) is not None


def test_relabelled_images_are_left_out() -> None:
    """The model that learned the corrected label would be called worse."""
    new, before = judged("+" * 30), judged("+" * 30)
    assert before.held_out is not None
    relabelled = [one.model_copy(update={"label": "cup"}) for one in before.held_out.test[:20]]
    kept = HeldOut(test=[*relabelled, *before.held_out.test[20:]])
    assert found(new, before._replace(held_out=kept)).num_images == 10


def test_without_predictions_only_the_same_test_dataset_counts() -> None:
    """Figures of two different tests would decide what goes live."""
    metrics = examples.metrics(1.0).model_copy(update={"num_images": 50})
    worse = metrics.model_copy(update={"accuracy": 0.6})
    new = Judged("md_2", "ds_1", JobMetrics(test=worse), None)
    before = Judged("md_1", "ds_1", JobMetrics(test=metrics), None)
    comparison = found(new, before)
    assert (comparison.num_right, comparison.num_right_before) == (30, 50)
    assert comparison.gain.interval[1] < 0
    for other in (
        before._replace(test_dataset="ds_2"),
        before._replace(test_dataset=None),
        before._replace(metrics=JobMetrics()),
    ):
        assert compare(new._replace(test_dataset=other.test_dataset and "ds_1"), other) is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=MIN_IMAGES, max_size=60))
def test_swapping_the_models_mirrors_the_answer(rights: list[tuple[bool, bool]]) -> None:
    """The order in which two models are named would decide between them."""
    new, before = (
        judged("".join("+" if pair[place] else "-" for pair in rights)) for place in (0, 1)
    )
    one, other = found(new, before), found(before, new)
    assert one.gain.points == pytest.approx(-other.gain.points)
    assert one.gain.interval == pytest.approx([-end for end in reversed(other.gain.interval)])
    assert (one.num_right, one.num_right_before) == (other.num_right_before, other.num_right)
