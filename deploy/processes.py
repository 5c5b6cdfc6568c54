"""Starting and stopping the stack's processes so that none is left behind.

Each child leads a process group of its own and dies with the launcher, however that ends.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.processes import bound

ROOT = Path(__file__).parents[1]
_GRACE_SECONDS = 10
_LOG_MODE = 0o640


def start(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> subprocess.Popen[bytes]:
    """Start a process in the background with its output appended to `log`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(os.open(log, flags, _LOG_MODE), "ab") as output:
        return subprocess.Popen(
            bound(list(command), signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], grace: float = _GRACE_SECONDS) -> int:
    """End a process: TERM, then KILL for its whole group after `grace` seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
