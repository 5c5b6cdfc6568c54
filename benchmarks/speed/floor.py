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
from worker.engine.shipped.predict import Floats, prepare

_BATCH = 32
_THREADS = 2
_AHEAD = 4  # batches


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

    def tensor(path: Path) -> Floats:
        return prepare(path.read_bytes(), settings)

    session.run([graph.FEATURES], {graph.INPUT: np.stack([tensor(paths[0])])})
    for _ in range(options.repeats):
        with options.timed() as done, ThreadPoolExecutor(_THREADS) as pool:
            for batch in _batches(pool, tensor, paths):
                session.run([graph.FEATURES], {graph.INPUT: batch})
        yield done


def _batches(
    pool: ThreadPoolExecutor, tensor: Callable[[Path], Floats], paths: list[Path]
) -> Iterator[Floats]:
    """Yield batches, the next ones decoded while one is computed."""
    waiting: deque[list[Future[Floats]]] = deque()
    for start in range(0, len(paths), _BATCH):
        waiting.append([pool.submit(tensor, path) for path in paths[start : start + _BATCH]])
        if len(waiting) == _AHEAD:
            yield np.stack([one.result() for one in waiting.popleft()])
    for one in waiting:
        yield np.stack([row.result() for row in one])


if __name__ == "__main__":
    main(measure)
