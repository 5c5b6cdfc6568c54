"""The measurement of the control plane, tried for a moment."""

import json

import pytest

from benchmarks.control.__main__ import main


@pytest.mark.slow
def test_transfers_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """A figure in the documentation could come from requests that were all refused."""
    short = ("--db", "sqlite", "--case", "transfers", "--seconds", "0.3", "--megabytes", "2")
    main(short)
    found = json.loads(capsys.readouterr().out)["sqlite"]["transfers"]
    assert set(found) == {"quiet", "upload", "download", "slow_uploads"}
    for kind in ("upload", "download"):
        assert found[kind]["times"] >= 1
        assert found[kind]["megabytes_per_second"] > 0
    assert (found["slow_uploads"]["connections"], found["slow_uploads"]["refused"]) == (50, 0)
    loads = [found["quiet"], *(found[kind]["meanwhile"] for kind in list(found)[1:])]
    for one in loads:
        assert {name: figures["failures"] for name, figures in one.items()} == {
            "list": 0,
            "submit": 0,
        }
        assert all(0 < figures["p50"] <= figures["p99"] for figures in one.values())
