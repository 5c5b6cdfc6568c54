"""`make chaos`: one campaign, one JSON line, and an exit code that says whether it went well."""

import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.chaos.campaign import run
from benchmarks.chaos.options import from_environment


def main() -> int:
    """Run a campaign in a folder of its own, which is kept where something was wrong."""
    # An end from outside must pass through every `finally`, so that no process is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    home = Path(tempfile.mkdtemp(prefix="regraft-chaos-"))
    line = run(from_environment(home / "home"))
    sys.stdout.write(json.dumps(line) + "\n")
    if line["breaches"]:
        sys.stderr.write(f"{len(line['breaches'])} breaches; logs and database are in {home}\n")
        return 1
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
