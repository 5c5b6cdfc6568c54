"""A child on pipes: it is held up, it ends when told to, and its end is heard."""

import sys

import pytest

from tests.support.fleet import is_alive
from tests.support.jobs import wait_for
from worker.line_process import LineProcess, ProcessEndedError


def _python(code: str) -> LineProcess[str]:
    return LineProcess((sys.executable, "-c", code), bytes.decode)


def test_a_process_that_talks_too_much_is_held_up() -> None:
    """A trainer that floods its pipe would take the supervisor's memory."""
    endless = _python("while True: print('x' * 1000)")
    try:
        heard = [endless.receive(5) for _ in range(300)]
        assert heard == ["x" * 1000 + "\n"] * 300
        assert endless._lines.qsize() <= 256
    finally:
        endless.kill()
    assert not is_alive(endless.pid)


@pytest.mark.parametrize(
    ("code", "how"),
    [("raise SystemExit(3)", "exit code 3"), ("import os; os.kill(os.getpid(), 9)", "SIGKILL")],
)
def test_an_end_is_heard_every_time_it_is_asked_for(code: str, how: str) -> None:
    """A supervisor would wait for the words of a dead trainer."""
    ended = _python(code)
    for _ in range(2):
        with pytest.raises(ProcessEndedError, match=how):
            ended.receive(5)


def test_a_killed_process_takes_its_children_with_it() -> None:
    """A trainer's data loaders would go on eating memory."""
    parent = _python(
        "import subprocess, time; p = subprocess.Popen(['sleep', '60']); "
        "print(p.pid, flush=True); time.sleep(60)"
    )
    child = int(str(parent.receive(5)))
    assert is_alive(child)
    parent.kill()
    wait_for(lambda: not is_alive(child), 2)


def test_a_word_to_a_dead_process_is_no_error() -> None:
    """Cancelling at the wrong moment would fail the worker."""
    ended = _python("pass")
    with pytest.raises(ProcessEndedError):
        ended.receive(5)
    ended.send("cancel\n")
