"""The measurement of serving, tried on a backbone that costs nothing."""

from pathlib import Path

from benchmarks.serving.__main__ import SHORT, measure
from benchmarks.serving.stage import small_backbone


def test_it_measures_what_it_says(tmp_path: Path) -> None:
    """A figure in the documentation could come from requests that were all refused."""
    found = measure(tmp_path, small_backbone(), SHORT)
    assert found["merchants"] == SHORT.merchants
    assert found["bytes_with_all"] > 10_000_000
    assert 0.5 < found["memory_ratio"] < 2
    assert all(rate > 0 for rates in found["photos_per_second"].values() for rate in rates)
    assert [level["clients"] for level in found["load"]] == list(SHORT.levels)
    assert all(0 < level["p50_ms"] <= level["p99_ms"] for level in found["load"])
    assert sum(level["refused"] for level in found["load"]) == 0
    assert found["session_for_each"]["sessions"] == SHORT.sessions
    (searched,) = found["search"]
    assert (searched["vectors"], searched["exact"]) == (SHORT.vectors[0], True)
    assert searched["recall_of_other_queries"] > 0.98
    assert 0 < searched["p50_ms"] <= searched["p99_ms"]
