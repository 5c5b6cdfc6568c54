"""One bare forward pass: decode in threads, ONNX Runtime, nothing kept. What no job can beat.

`python -m benchmarks.speed.floor` prints one JSON line.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.speed import networks
from benchmarks.speed.case import Options, main
from worker.engine.context import Context
from worker.engine.export import graph
from worker.engine.export.shared import shared_parts
from worker.engine.preprocess import settings_of
from worker.engine.shipped.predict import Floats, normalised, square

_BATCH = 8  # as ours: the caches hold the activations of so many
_THREADS = 2
_AHEAD = 12  # batches


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield a pass over all photos, the session made before."""
    backbone = networks.backbone(options.backbone, options.weights)
    parts = shared_parts(backbone, options.shared, True, Context().event)
    if parts.graph is None:
        raise RuntimeError("no graph was exported")
    runtime: Any = onnxruntime
    chosen = runtime.SessionOptions()
    chosen.intra_op_num_threads = options.threads
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    whole = parts.graph.read_bytes() + graph.features_patch(backbone.record.num_features)
    session = runtime.InferenceSession(whole, chosen, providers=["CPUExecutionProvider"])
    paths = sorted(options.photos.rglob("*.jpg"))
    settings = settings_of(backbone.record)

    side = settings["input_size"]

    def decode(path: Path, row: Floats) -> None:
        normalised(square(path.read_bytes(), settings), settings, row)

    session.run([graph.FEATURES], {graph.INPUT: np.zeros((1, 3, side, side), np.float32)})
    for _ in range(options.repeats):
        with options.timed() as done, ThreadPoolExecutor(_THREADS) as pool:
            for batch in _batches(pool, decode, paths, side):
                session.run([graph.FEATURES], {graph.INPUT: batch})
        yield done


def _batches(
    pool: ThreadPoolExecutor, decode: Callable[[Path, Floats], None], paths: list[Path], side: int
) -> Iterator[Floats]:
    """Yield batches, the next ones decoded while one is computed."""
    waiting: deque[tuple[Floats, list[Future[None]]]] = deque()
    for start in range(0, len(paths), _BATCH):
        chosen = paths[start : start + _BATCH]
        rows = np.empty((len(chosen), 3, side, side), dtype=np.float32)
        pairs = zip(chosen, rows, strict=True)
        waiting.append((rows, [pool.submit(decode, path, row) for path, row in pairs]))
        if len(waiting) == _AHEAD:
            yield _decoded(*waiting.popleft())
    while waiting:
        yield _decoded(*waiting.popleft())


def _decoded(rows: Floats, results: list[Future[None]]) -> Floats:
    for one in results:
        one.result()
    return rows


if __name__ == "__main__":
    main(measure)
