"""`make fuzz`: one campaign, one JSON line, and an exit code that says whether it was clean."""

import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.fuzz.campaign import run


def main() -> int:
    """Run a campaign in a folder of its own, which is kept where something was wrong."""
    # An end from outside must pass through every `finally`, so that no process is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    home = Path(tempfile.mkdtemp(prefix="regraft-fuzz-"))
    seconds, seed = (os.environ.get(f"FUZZ_{name}", "") for name in ("SECONDS", "SEED"))
    line = run(home / "home", float(seconds or 300), int(seed or 1))
    sys.stdout.write(json.dumps(line) + "\n")
    if not line["clean"]:
        sys.stderr.write(f"not clean; logs and database are in {home}\n")
        return 1
    shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
