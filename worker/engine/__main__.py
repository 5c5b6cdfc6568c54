"""`python -m worker.engine run.json` for one run, `python -m worker.engine serve` for a trainer.

Imports what the chosen way needs, and only then: a bad spec is told at once, without torch.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from pydantic import ValidationError

from regraft.contract.validation import details
from worker.engine.runspec import RunSpec


def _read_spec(path: Path) -> RunSpec | None:
    """Return the spec in `path`; where it holds none, say on stderr which fields are wrong."""
    try:
        return RunSpec.model_validate_json(path.read_bytes())
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror}\n")
    except ValidationError as error:
        for fault in details(error):
            sys.stderr.write(f"{path}: {fault.param or 'file'}: {fault.message}\n")
    return None


def main() -> int:
    """Hand over; return 0, or 1 where a run failed, or 2 where its spec is none."""
    parser = argparse.ArgumentParser(prog="python -m worker.engine", description=__doc__)
    parser.add_argument("what", help="a run spec (run.json), or `serve`")
    what: str = parser.parse_args().what
    if what == "serve":
        return int(import_module("worker.engine.serve").main())
    spec = _read_spec(Path(what))
    return 2 if spec is None else int(import_module("worker.engine.shell").main(spec))


if __name__ == "__main__":
    sys.exit(main())
