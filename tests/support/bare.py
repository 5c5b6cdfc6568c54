"""An environment with what `predict.py` says it needs, and nothing else."""

import re
import venv
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

NEEDED = ("onnxruntime", "numpy", "Pillow")


def bare_environment(folder: Path) -> Path:
    """Make a virtual environment of `NEEDED` and what these require; return its interpreter.

    Their files are links to those installed here, as pip would have unpacked them from wheels.
    """
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in _closure(NEEDED):
        for file in distribution(name).files or ():
            if ".." not in file.parts:
                link = packages / file
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(file.locate())
    return folder / "bin" / "python"


def _closure(names: tuple[str, ...]) -> Iterator[str]:
    """Yield each distribution once, with all that it requires without an extra."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        required = (one for one in distribution(name).requires or () if "extra ==" not in one)
        waiting += [re.split(r"[^\w.-]", one, maxsplit=1)[0].lower() for one in required]
