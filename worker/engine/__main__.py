"""`python -m worker.engine run.json` for one run, `python -m worker.engine serve` for a trainer.

Imports what the chosen way needs, and only then.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path


def main() -> int:
    """Parse the command line and hand over."""
    parser = argparse.ArgumentParser(prog="python -m worker.engine", description=__doc__)
    parser.add_argument("what", help="a run spec (run.json), or `serve`")
    what: str = parser.parse_args().what
    if what == "serve":
        return int(import_module("worker.engine.serve").main())
    return int(import_module("worker.engine.shell").main(Path(what)))


if __name__ == "__main__":
    sys.exit(main())
