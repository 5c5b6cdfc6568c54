"""The benchmark's verdicts are those of paired draws, and its picture is a picture."""

from typing import Any

import pytest

from benchmarks.quality import report


def _rows(**values: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "set_name": "photos",
            "num_each": num_each,
            "draw": draw,
            "strategy": name,
            "accuracy": value,
            "delivered": value,
        }
        for num_each in (1, 5)
        for name, found in values.items()
        for draw, value in enumerate(found)
    ]


def test_an_interval_is_students_t() -> None:
    """Five draws would look as sure as five hundred."""
    _, low, high = report.mean_interval([70.0, 72.0, 71.0, 75.0, 69.0])
    assert (low, high) == pytest.approx((71.4 - 2.859, 71.4 + 2.859), abs=0.01)


def test_draws_are_compared_in_pairs() -> None:
    """A lucky draw of one strategy would count as its quality."""
    assert report.paired({0: 50.0, 1: 90.0}, {0: 49.0, 1: 89.0, 2: 10.0})[0] == pytest.approx(1.0)


def test_verdicts_catch_a_planner_and_a_guard_that_lose() -> None:
    """The benchmark would print that all is well."""
    good = report.verdicts(_rows(linear_probe=[70.0, 71.0], auto=[71.0, 72.0], dann=[69.5, 70.5]))
    assert all(one["holds"] for one in good)
    bad = report.verdicts(_rows(linear_probe=[70.0, 71.0], auto=[60.0, 61.0], dann=[50.0, 51.0]))
    assert {one["what"] for one in bad if not one["holds"]} == {
        "auto - linear_probe",
        "guarded auto - head",
        "guarded dann - head",
    }


def test_auto_is_held_against_the_reference_and_not_against_itself() -> None:
    """The number that the product promises to beat would be out of sight."""
    rows = _rows(linear_probe=[70.0, 71.0], auto=[71.0, 72.0], logistic_regression=[71.5, 72.5])
    found = {one["what"]: one["holds"] for one in report.verdicts(rows)}
    assert found["auto - logistic_regression"] is False
    assert found["auto - linear_probe"] is True
    assert "guarded logistic_regression - head" not in found


def test_a_draw_that_the_guard_was_not_asked_for_counts_nothing() -> None:
    """A missing figure would be read as zero, or end the report."""
    rows = _rows(linear_probe=[70.0, 71.0], dann=[50.0, 51.0])
    for row in rows:
        if row["strategy"] == "dann" and row["draw"] == 1:
            del row["delivered"]
    (first, _) = [one for one in report.verdicts(rows) if one["what"] == "guarded dann - head"]
    assert first["points"] == -20.0


def test_table_and_picture_hold_every_strategy() -> None:
    """A curve would be missing from the document."""
    rows = _rows(linear_probe=[70.0, 71.0], auto=[71.0, 72.0])
    assert "| 5 | 70.5 ± 6.4 (2) | 71.5 ± 6.4 (2) |" in report.table(rows)
    picture = report.picture(rows)
    assert picture.count("<polyline") == 2
    assert picture.rstrip().endswith("</svg>")
