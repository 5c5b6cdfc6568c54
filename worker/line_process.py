"""A child process that speaks lines on its pipes: the trainer, and ingest's decoder.

It knows nothing of us but what its environment says, which is little: no URL, no secret.
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Generic, TypeVar

from core.logs import logger
from core.processes import offer_to_oom_killer

Message = TypeVar("Message")

PARENT_VARIABLE = "REGRAFT_PARENT_PID"
_ROOT = Path(__file__).parents[1]
_PASSED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH"),
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS"),
)
_QUEUED_LINES = 256
_EXIT_SECONDS = 1.0
_log = logger(__name__)


def started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a child on two pipes, in a session of its own, first to go if memory is short."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        env=environment(),
        start_new_session=True,
    )
    offer_to_oom_killer(process.pid)
    return process


class ProcessEndedError(Exception):
    """The process ended, or closed its output; `how` says it in words, `code` as `Popen` does."""

    def __init__(self, code: int) -> None:
        self.how = _in_words(code)
        self.code = code
        super().__init__(self.how)


class LineProcess(Generic[Message]):
    """A running child in a session of its own; `parse` turns one line into a message.

    Lines wait in a short queue: a child that is faster than its supervisor is held up by its
    pipe, whatever it produces.
    """

    def __init__(self, command: Sequence[str], parse: Callable[[bytes], Message]) -> None:
        self._parse = parse
        self._lines: queue.Queue[bytes | None] = queue.Queue(_QUEUED_LINES)
        self._process = started(command)
        self._reader = threading.Thread(target=self._read, name="lines", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id, and that of its session and group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, line: str) -> None:
        """Write one line; a process that has ended shows in `receive`."""
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            stdin.write(line.encode())
            stdin.flush()
        except (OSError, ValueError) as error:  # a broken pipe, or one closed by `kill`
            _log.info("line not taken", pid=self.pid, error=str(error))

    def receive(self, timeout: float) -> Message | None:
        """Return the next message, or None after `timeout` seconds.

        Raises:
            ProcessEndedError: there will be no more messages.
        """
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            return None
        if line is None:
            self._let_exit()
            self.kill()
            raise ProcessEndedError(self._process.returncode)
        try:
            return self._parse(line)
        except ValueError as error:
            _log.warning("line not understood", pid=self.pid, error=str(error)[:500])
            return None

    def kill(self) -> None:
        """End the process and its children at once, and reap it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        while self._reader.is_alive():
            _discard(self._lines)
            self._reader.join(0.01)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                _close(pipe)
        self._put_end()

    def _let_exit(self) -> None:
        """Give a process that closed its output the time to end by itself, for its exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_SECONDS)

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put(None)

    def _put_end(self) -> None:
        """Whoever asks a killed process again must hear that it ended."""
        _discard(self._lines)
        self._lines.put(None)


def environment() -> dict[str, str]:
    """Return all that a child is told: no URL, no secret."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {**passed, PARENT_VARIABLE: str(os.getpid()), "PYTHONUNBUFFERED": "1"}


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {signal.Signals(-code).name}"


def _discard(lines: queue.Queue[bytes | None]) -> None:
    try:
        while True:
            lines.get_nowait()
    except queue.Empty:
        return


def _close(pipe: IO[bytes]) -> None:
    """Close a pipe; what it still holds for a dead process is of no use."""
    with contextlib.suppress(OSError):
        pipe.close()
