"""Processes of the stack: what they leave on the disk."""

import stat
import sys
from pathlib import Path

from deploy.processes import start


def test_a_log_is_not_for_everybody(tmp_path: Path) -> None:
    """Every user of the machine could read which merchant does what."""
    for line in (b"one", b"two"):
        process = start([sys.executable, "-c", f"print({line.decode()!r})"], log=tmp_path / "x.log")
        assert process.wait(30) == 0
    assert (tmp_path / "x.log").read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE((tmp_path / "x.log").stat().st_mode) == 0o640
