"""The usual way beside ours: a whole model in ONNX Runtime for each merchant, in one process.

`python -m benchmarks.serving.sessions FOLDER COUNT SECONDS` loads the model in FOLDER that often,
classifies its `photo` with each in turn, and prints one line of JSON.
"""

import gc
import json
import sys
import time
from pathlib import Path

from worker.engine.shipped.predict import Predictor


def main() -> None:
    """Measure, and print what was found."""
    folder, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    photo = (folder / "photo").read_bytes()
    first = Predictor(folder)
    first.answer([photo])
    before = _resident()
    predictors = [first, *(Predictor(folder) for _ in range(count - 1))]
    for predictor in predictors:
        predictor.answer([photo])
    gc.collect()
    grown = _resident() - before
    answered, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        predictors[answered % count].answer([photo])
        answered += 1
    found = {
        "sessions": count,
        "bytes_with_one": before,
        "bytes_for_each_more": grown // max(1, count - 1),
        "photos_per_second": round(answered / seconds, 1),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    main()
