"""The bench's ratios are what they say, and its picture is a picture."""

import re
from typing import Any

import pytest

from benchmarks.speed import figures
from benchmarks.speed.picture import picture


def _case(*seconds: float, photos: int = 1000) -> dict[str, Any]:
    rows = [{"seconds": one, "training_seconds": one / 2} for one in seconds]
    return {"rows": rows, "peak_mib": 900, "peak_child_mib": 100, "photos": photos}


FOUND = {
    "floor": _case(10.0, 11.0, 90.0),
    "eager": _case(40.0),
    "first": _case(12.0, 12.0, 13.0),
    "again": _case(0.5),
    "grown": _case(1.2),
    "plain": _case(30.0, 29.0, 31.0),
    "fastai": _case(45.0),
}


def _report() -> dict[str, Any]:
    report: dict[str, Any] = {"photos": 1000, "head_only": {"resnet18": figures.head_only(FOUND)}}
    report["partial_finetune"] = {"resnet18": figures.tuned(_case(8.0), _case(2.0), 10)}
    report["storage"] = {"ratio": 120.0}
    return report


def test_one_slow_repeat_changes_nothing() -> None:
    """A neighbour's burst would look like a slow engine, or a fast one."""
    assert figures.median(FOUND["floor"]) == pytest.approx(11.0)


def test_a_peers_epoch_counts_twenty_times() -> None:
    """A job of twenty epochs would be compared with one epoch."""
    heads = figures.head_only(FOUND)
    assert heads["peers_s"] == {"plain": 600.0, "fastai": 900.0}
    assert heads["times_faster"] == {"plain": 50.0, "fastai": 75.0}
    assert heads["again_times_faster"] == {"plain": 1200, "fastai": 1800}
    assert heads["of_the_floor"] == pytest.approx(12 / 11, abs=0.01)
    by_processor = figures.head_only(FOUND, "training_seconds")
    assert by_processor["peers_s"] == {"plain": 300.0, "fastai": 450.0}
    assert heads["images_per_second"] == {"eager": 25.0, "floor": 90.9}


def test_fine_tuning_is_compared_by_its_training_alone() -> None:
    """The export of a tuned network would count as slow training."""
    found = figures.tuned(_case(8.0), _case(2.0), 10)
    assert (found["ours_s"], found["whole_job_s"], found["plain_s"]) == (4.0, 8.0, 20.0)
    assert found["times_faster"] == pytest.approx(5.0)


def test_aims_without_a_figure_are_not_claimed() -> None:
    """A bench that ran without its peers would say that it beat them."""
    listed = figures.aims(_report())
    found = {name: value for name, value, _ in listed}
    assert found["resnet18 faster than plain"] == pytest.approx(50.0)
    assert not [name for name in found if "hugging_face" in name or "lite0" in name]
    assert found["full copies / bytes stored"] == pytest.approx(120.0)


def test_memory_counts_the_children() -> None:
    """A loop would hide its memory in the workers that load its images."""
    assert figures.peaks({"plain": _case(1.0)}) == {"plain": 1000}


def test_the_picture_shows_each_tool_and_longer_bars_for_longer_times() -> None:
    """The reader would see a picture that says nothing, or the opposite."""
    drawn = picture(_report())
    texts = re.findall(r">([^<>]+)</text>", drawn)
    assert {"plain", "fastai", "ours", "floor", "ours, again"} <= set(texts)
    assert drawn.count("<text") == drawn.count("</text>")
    widths = [float(one) for one in re.findall(r'<rect x="190" [^>]* width="([0-9.]+)"', drawn)]
    assert widths == sorted(widths, reverse=True)
    assert min(widths) > 0
