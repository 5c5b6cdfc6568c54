"""Put a model together: every file as segments, a frozen backbone's bytes shared.

May import torch, onnx, the contract and the engine's own modules.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from regraft.contract.metrics import JobMetrics, Transfer
from worker.engine.adapted import Adapted
from worker.engine.export import graph, program
from worker.engine.export.bundle import bundle
from worker.engine.export.segments import Blobs, ModelFile, model_file
from worker.engine.export.shared import BackboneParts, kept_beside, tensor_entries
from worker.engine.preprocess import settings_of
from worker.engine.tensorfile import Entry, header
from worker.engine.weights import tensor_bytes

PREDICTOR = Path(__file__).parent.parent / "shipped" / "predict.py"
BUNDLE = "bundle.zip"


class Trained(NamedTuple):
    """A model, its labels in order, what is known of its quality, and the strategy that made it."""

    model: Adapted
    labels: list[str]
    metrics: JobMetrics
    transfer: Transfer
    strategy: str | None = None


class Document(NamedTuple):
    """A file about the model, for people or other programs; it holds nothing of the backbone."""

    name: str
    content: bytes


def model_files(
    trained: Trained,
    parts: BackboneParts,
    blobs: Blobs,
    documents: Sequence[Document] = (),
    *,
    with_program: bool = False,
) -> list[ModelFile]:
    """Return the model's files, `documents` among them, the bundle of them all last."""
    files = [
        _safetensors(trained, parts, blobs),
        _head_alone(trained, blobs),
        _json_file("labels.json", label_facts(trained), blobs),
        _json_file("preprocess.json", preprocess_facts(trained), blobs),
        _json_file("metrics.json", _quality(trained), blobs),
    ]
    if parts.graph is not None:
        patch = blobs.keep(graph.head_patch(trained.model.head.calibrated()))
        files.insert(0, model_file("model.onnx", [blobs.refer(parts.graph, parts.shared), patch]))
        files.append(model_file("predict.py", [blobs.refer(PREDICTOR, shared=True)]))
    if with_program:
        files.append(_program(trained, parts, blobs))
    files += [model_file(name, [blobs.keep(content)]) for name, content in documents]
    return [*files, bundle(BUNDLE, files, blobs)]


def _program(trained: Trained, parts: BackboneParts, blobs: Blobs) -> ModelFile:
    """Return the saved program; the backbone's parameters, with which it begins, are one blob."""
    model = trained.model
    content = program.saved(model.backbone, model.head.calibrated())
    length = program.shared_length(content)
    weights = blobs.refer(kept_beside(parts, content[:length]), parts.shared)
    return model_file(program.FILE_NAME, [weights, blobs.keep(content[length:])])


def label_facts(trained: Trained) -> dict[str, object]:
    """Return the labels in the order of the outputs, and from which probability each is answered.

    A null threshold means that the model never answers with the label (see `calibrate`).
    """
    calibration = trained.model.calibration
    found = [one.threshold for one in calibration.thresholds] if calibration else []
    return {
        "labels": trained.labels,
        "thresholds": found or [None] * len(trained.labels),
        "wanted_precision": calibration and calibration.wanted_precision,
    }


def preprocess_facts(trained: Trained) -> dict[str, object]:
    """Return what `predict.py` needs to prepare an image, and what others need to rebuild it."""
    record = trained.model.backbone.record
    return {
        **settings_of(record),
        "layout": "float32, channels first, RGB",
        "backbone": record.name,
        "architecture": f"{record.library}/{record.architecture}",
        "temperature": trained.model.head.temperature,
        "temperature_note": "already folded into the head's weights",
    }


def _quality(trained: Trained) -> dict[str, object]:
    """Return what was measured, without what it took: the same run makes the same file again."""
    without_times = {"candidates": {"__all__": {"seconds"}}}
    return {
        "metrics": trained.metrics.model_dump(mode="json"),
        "transfer": trained.transfer.model_dump(mode="json", exclude=without_times),
    }


def _json_file(name: str, content: dict[str, object], blobs: Blobs) -> ModelFile:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return model_file(name, [blobs.keep(text.encode() + b"\n")])


def _safetensors(trained: Trained, parts: BackboneParts, blobs: Blobs) -> ModelFile:
    """Return all tensors under their library's names: `load_state_dict` takes them strictly."""
    own, content = _head(trained)
    entries = [*tensor_entries(trained.model.backbone), *own]
    pieces = [
        blobs.keep(header(entries, _tensor_facts(trained))),
        blobs.refer(parts.tensors, parts.shared),
        blobs.keep(content),
    ]
    return model_file("model.safetensors", pieces)


def _head_alone(trained: Trained, blobs: Blobs) -> ModelFile:
    """Return the head's tensors alone, and which backbone's features they are for."""
    own, content = _head(trained)
    model = trained.model
    backbone = model.backbone.fingerprint if model.is_frozen else "fine-tuned"
    top = blobs.keep(header(own, {**_tensor_facts(trained), "weights_fingerprint": backbone}))
    return model_file("head.safetensors", [top, blobs.keep(content)])


def _head(trained: Trained) -> tuple[list[Entry], bytes]:
    """Return the calibrated head's tensors, and their bytes end to end."""
    head, name = trained.model.head.calibrated(), trained.model.backbone.record.classifier
    own = {f"{name}.weight": head.weight, f"{name}.bias": head.bias}
    entries = [
        Entry(name, "F32", tuple(value.shape), value.numel() * value.element_size())
        for name, value in own.items()
    ]
    return entries, b"".join(tensor_bytes(value) for value in own.values())


def _tensor_facts(trained: Trained) -> dict[str, str]:
    record = trained.model.backbone.record
    return {
        "format": "pt",
        "architecture": f"{record.library}/{record.architecture}",
        "labels": json.dumps(trained.labels, ensure_ascii=False),
    }
