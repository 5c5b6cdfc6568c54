"""Prove before delivery that the files answer as the trained model does.

May import torch, onnxruntime, numpy, the contract and the engine's own modules.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from worker.engine.data import Image
from worker.engine.export import graph, program
from worker.engine.export.segments import ModelFile
from worker.engine.failures import EngineError
from worker.engine.files import write_whole
from worker.engine.head import Head
from worker.engine.preprocess import batches
from worker.engine.shipped.predict import Floats, Predictor, Settings

# The head alone, on the same numbers: only the order of float32 additions differs.
HEAD_TOLERANCE = 1e-4
# From the photo's bytes: the head was trained and judged on features rounded to fp16 (relative
# 2 ** -11), and the runtimes add in another order.
PHOTO_TOLERANCE = 2e-2
MAX_PHOTOS = 32
_PROGRAM_BATCH = 7  # another than it was traced with; the last is smaller


def check_head(head: Head, features: Tensor) -> float:
    """Compare the head in torch and in ONNX Runtime on features [n, d]; return the difference.

    Raises:
        EngineError: PARITY_FAILED, see `compare`.
    """
    shipped = head.calibrated()
    expected = shipped.logits(features).softmax(dim=1).numpy()
    model = graph.head_alone(graph.head_patch(shipped), features.shape[1])
    found = graph.run(model, "probabilities", {graph.FEATURES: features.numpy()})
    return compare("the exported head", expected, found, HEAD_TOLERANCE)


def check_photos(
    files: Sequence[ModelFile], folder: Path, images: Sequence[Image], expected: Tensor
) -> float:
    """Compare the shipped predictor, from the images' bytes, with probabilities [n, c] of torch.

    `folder` receives the files that the predictor reads. Returns the largest difference.

    Raises:
        EngineError: PARITY_FAILED, see `compare`.
    """
    for file in files:
        if file.name in {"model.onnx", "labels.json", "preprocess.json"}:
            write_whole(folder / file.name, file.chunks())
    found = Predictor(folder, torch.get_num_threads()).probabilities(
        [image.read() for image in images]
    )
    return compare("the shipped predictor", expected.numpy(), found, PHOTO_TOLERANCE)


def check_program(
    files: Sequence[ModelFile],
    folder: Path,
    images: Sequence[Image],
    settings: Settings,
    expected: Tensor,
) -> float:
    """Compare the saved program, from the images' bytes, with probabilities [n, c] of torch.

    `folder` receives the program, which is loaded again. Returns the largest difference.

    Raises:
        EngineError: PARITY_FAILED, see `compare`.
    """
    (file,) = [file for file in files if file.name == program.FILE_NAME]
    write_whole(folder / file.name, file.chunks())
    module = program.load(folder / file.name)
    with torch.inference_mode():
        rows = [module(batch.pixels) for batch in batches(images, settings, _PROGRAM_BATCH)]
    found = torch.cat(rows).numpy() if rows else expected.numpy()
    return compare("the saved program", expected.numpy(), found, PHOTO_TOLERANCE)


def compare(what: str, expected: Floats, found: Floats, tolerance: float) -> float:
    """Return the largest difference of two sets of probabilities [n, c].

    Raises:
        EngineError: PARITY_FAILED where a probability differs by more than `tolerance`, or the
            first label differs although torch's lead over it is more than the tolerance.
    """
    if not len(expected):
        return 0.0
    worst = float(np.abs(expected - found).max())
    rows = np.arange(len(expected))
    lead = expected.max(axis=1) - expected[rows, found.argmax(axis=1)]
    num_other = int((lead > tolerance).sum())
    if not worst <= tolerance or num_other:
        raise EngineError(
            ErrorCode.PARITY_FAILED,
            f"Probabilities of {what} differ by up to {worst:.2g} from the trained model's "
            f"(at most {tolerance:g} is allowed), and {num_other} of {len(expected)} images "
            "get another label.",
        )
    return worst
