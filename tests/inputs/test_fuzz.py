"""Twenty seconds of `make fuzz`, and a tally that would see what it is there to see."""

from pathlib import Path

import pytest

from benchmarks.fuzz.campaign import run
from benchmarks.fuzz.tally import Tally

ENVELOPE = b'{"error":{"code":"x"}}'


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_seconds_of_fuzz_break_nothing(tmp_path: Path) -> None:
    """Some odd request would be a fault of ours, end a process, or stay on the disk."""
    line = run(tmp_path / "home", seconds=20, seed=1)
    assert line["breaches"] == []
    assert (line["5xx"], line["dead_processes"], line["leaked_files"]) == (0, 0, 0)
    assert line["clean"] is True
    requests = line["requests"]
    assert isinstance(requests, dict)
    assert set(requests) == {"headers", "json", "images", "zips", "parquet", "generated"}


@pytest.mark.parametrize(
    ("status", "body", "breaches"),
    [
        (200, b"anything", 0),
        (422, ENVELOPE, 0),
        (501, ENVELOPE, 0),
        (500, ENVELOPE, 1),
        (503, ENVELOPE, 1),
        (404, b"<html>", 1),
        (400, b'{"message": "x"}', 1),
    ],
)
def test_what_a_tally_calls_a_breach(status: int, body: bytes, breaches: int) -> None:
    """A campaign that accepts everything proves nothing."""
    tally = Tally()
    tally.answered("json", status, body, b"sent")
    assert len(tally.breaches) == breaches
    assert tally.shown()["5xx"] == (status in {500, 503})
