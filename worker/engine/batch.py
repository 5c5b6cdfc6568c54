"""A finished model answers about every image of a dataset, part by part.

Features come from the cache where they were computed before; the head and the answer are those of
the shipped predictor. A part that is reported is never made again. May import torch, safetensors,
the contract and the engine's own modules.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open

from regraft.contract.batch import BatchRow
from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from regraft.contract.prediction import Guess, PhotoError
from regraft.contract.verdict import KEPT, Verdict
from worker.engine import backbone as backbones
from worker.engine import data as datasets
from worker.engine.batch_rows import Asked, head_of, line_of, read_asked
from worker.engine.context import Context, Silent
from worker.engine.data import Image
from worker.engine.failures import EngineError
from worker.engine.features import Extractor, Features
from worker.engine.files import write_whole
from worker.engine.inputs import extractor
from worker.engine.messages import Answered
from worker.engine.runspec import BatchRun
from worker.engine.shipped.predict import Floats, answer_of

_DIGITS = 6


class _Head(NamedTuple):
    """The model's calibrated head: `weight` [c, d], `bias` [c], its labels and thresholds."""

    weight: Floats
    bias: Floats
    labels: list[str]
    thresholds: list[float | None]

    def probabilities(self, features: Floats) -> Floats:
        """Return the probabilities [n, c] of features [n, d]."""
        logits = features @ self.weight.T + self.bias
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: Floats = raised / raised.sum(axis=1, keepdims=True)
        return found


def run(spec: BatchRun, context: Context) -> Answered:
    """Carry out `spec` and report each part to `context`.

    Raises:
        EngineError: the run cannot succeed, for a reason the code names.
        RunCancelledError, RunPausedError: `context` wished so; the parts so far are reported.
    """
    if spec.num_threads is not None:
        torch.set_num_threads(spec.num_threads)
    context.progress("preparing", 0.0)
    asked = read_asked(spec.rows)
    parts = max(1, -(-len(asked) // spec.rows_per_part))
    batch = _Batch(spec, context)
    for seq in range(spec.parts_done, parts):
        context.check()
        context.progress("evaluating", seq / parts, seq * spec.rows_per_part, len(asked))
        batch.answer(seq, asked[seq * spec.rows_per_part : (seq + 1) * spec.rows_per_part])
    context.progress("evaluating", 1.0, len(asked), len(asked))
    context.event(
        f"Answered about {len(asked)} images; features of {batch.computed} were computed.",
        images=len(asked),
        computed=batch.computed,
    )
    return Answered(num_parts=parts)


class _Batch:
    """What the parts of one run share: the model and the images by hash."""

    def __init__(self, spec: BatchRun, context: Context) -> None:
        self._spec = spec
        self._context = context
        self._images = {image.sha256: image for image in _images(spec)}
        self._head = _head(spec)
        self._extractor = _extractor(spec, context)
        self.computed = 0

    def answer(self, seq: int, asked: Sequence[Asked]) -> None:
        """Write one part, and report it."""
        known = [row for row in asked if row.verdict in KEPT and row.sha256 in self._images]
        images = [self._images[str(row.sha256)] for row in known]
        features = self._extractor.extract(images)
        self.computed += features.computed
        found = _answers(self._head, features, images, self._spec.top)
        rows = [_row(one, found.get(one.sha256 or ""), features) for one in asked]
        lines = [line_of(self._spec.format, row) for row in rows]
        content = ("" if seq else head_of(self._spec.format)) + "".join(lines)
        data = content.encode()
        path = self._spec.workspace / f"part-{seq}"
        write_whole(path, [data])
        errors = sum(row.error is not None for row in rows)
        sha256 = hashlib.sha256(data).hexdigest()
        self._context.part(path, sha256, len(data), seq, (len(rows), errors))


def _extractor(spec: BatchRun, context: Context) -> Extractor:
    backbone = backbones.of_model(spec.model, spec.weights_dir)
    return extractor(spec, backbone, Silent(context))


def _images(spec: BatchRun) -> list[Image]:
    try:
        return datasets.load(spec.data)
    except ValueError as error:
        raise EngineError(ErrorCode.VALIDATION_FAILED, f"dataset: {error}", "dataset") from error


def _head(spec: BatchRun) -> _Head:
    name = BACKBONES[spec.model.backbone].classifier
    with safe_open(spec.model.weights, framework="numpy") as opened:
        weight, bias = (opened.get_tensor(f"{name}.{part}") for part in ("weight", "bias"))
    said = json.loads(Path(spec.labels).read_bytes())
    return _Head(weight, bias, said["labels"], said["thresholds"])


def _answers(
    head: _Head, features: Features, images: Sequence[Image], top: int
) -> dict[str, BatchRow]:
    """Return the answers by the image's hash, under no image's id yet."""
    readable = list({one.sha256: one for one in images if one.sha256 in features.rows}.values())
    if not readable:
        return {}
    rows = head.probabilities(features.of(readable).numpy())
    said = [answer_of(row, head.labels, head.thresholds, top) for row in rows]
    return {
        image.sha256: BatchRow(
            image="",
            name="",
            group=None,
            label=one["label"],
            probability=round(one["probability"], _DIGITS),
            abstained=one["abstained"],
            top=[
                Guess(label=guess["label"], probability=round(guess["probability"], _DIGITS))
                for guess in one["top"]
            ],
            error=None,
        )
        for image, one in zip(readable, said, strict=True)
    }


def _row(asked: Asked, answer: BatchRow | None, features: Features) -> BatchRow:
    """Return the answer under an image's id, or why there is none."""
    if answer is not None:
        named = {"image": asked.image, "name": asked.name, "group": asked.group}
        return answer.model_copy(update=named)
    return BatchRow(
        image=asked.image,
        name=asked.name,
        group=asked.group,
        label=None,
        probability=None,
        abstained=True,
        top=[],
        error=_error(asked, features.unreadable),
    )


def _error(asked: Asked, unreadable: Mapping[str, str]) -> PhotoError:
    if asked.verdict not in KEPT:
        return PhotoError(code=asked.verdict, message=asked.message or "The upload refused it.")
    reason = unreadable.get(asked.sha256 or "", "is not there any more")
    return PhotoError(code=Verdict.DECODER_FAILED, message=f"The image {reason}.")
