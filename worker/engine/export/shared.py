"""A backbone's graph and tensors as files: a frozen one's shared by all models, made once.

Shared ones are kept by what decides their bytes, and checked against their hash at every use.
May import torch, onnx and the engine's own modules.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import onnx
import onnxscript
import timm
import torch

from worker.engine.backbone import Backbone
from worker.engine.export import graph
from worker.engine.files import file_hash, write_whole
from worker.engine.tensorfile import Entry
from worker.engine.weights import ordered_names, tensor_bytes

_VERSION = 1
_DTYPES = {torch.float32: "F32", torch.int64: "I64"}


class BackboneParts(NamedTuple):
    """The backbone's serialised graph (null when no ONNX is wanted) and its tensors' bytes."""

    graph: Path | None
    tensors: Path
    shared: bool


def shared_parts(
    backbone: Backbone, root: Path, with_graph: bool, announce: Callable[[str], None]
) -> BackboneParts:
    """Return the shared parts of a backbone from the cache, making what is not there.

    Raises:
        EngineError: PARITY_FAILED where the exported graph disagrees with the backbone.
    """
    folder = root / "backbones" / _key(backbone)
    tensors = _made_once(folder / "backbone.tensors", lambda: _tensor_chunks(backbone))
    if not with_graph:
        return BackboneParts(None, tensors, shared=True)

    def export() -> Iterable[bytes]:
        announce(f"Exporting {backbone.record.name} to ONNX, once for this installation.")
        return [_verified_graph(backbone)]

    return BackboneParts(_made_once(folder / "backbone.onnx", export), tensors, shared=True)


def own_parts(backbone: Backbone, folder: Path, with_graph: bool) -> BackboneParts:
    """Return the parts of a fine-tuned backbone, written into `folder`.

    Raises:
        EngineError: PARITY_FAILED where the exported graph disagrees with the backbone.
    """
    tensors = folder / "backbone.tensors"
    write_whole(tensors, _tensor_chunks(backbone))
    if not with_graph:
        return BackboneParts(None, tensors, shared=False)
    path = folder / "backbone.onnx"
    write_whole(path, [_verified_graph(backbone)])
    return BackboneParts(path, tensors, shared=False)


def kept_beside(parts: BackboneParts, content: bytes) -> Path:
    """Return a file with `content`, which the backbone alone decides, beside its other parts."""
    sha256 = hashlib.sha256(content).hexdigest()
    return _made_once(parts.tensors.with_name(f"{sha256}.part"), lambda: [content])


def _verified_graph(backbone: Backbone) -> bytes:
    content = graph.backbone_graph(backbone)
    graph.verify(backbone, content)
    return content


def _key(backbone: Backbone) -> str:
    """Return a name that changes whenever the bytes could."""
    facts = {
        "version": _VERSION,
        "weights": backbone.record.weights_fingerprint,
        "architecture": backbone.record.architecture,
        "made by": [torch.__version__, timm.__version__, onnx.__version__, onnxscript.__version__],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _made_once(path: Path, make: Callable[[], Iterable[bytes]]) -> Path:
    """Return `path`, made if it is not there or not what it was when it was made."""
    note = path.with_name(path.name + ".sha256")
    if path.is_file() and note.is_file() and note.read_text() == file_hash(path):
        return path
    write_whole(path, make())
    write_whole(note, [file_hash(path).encode()])
    return path


def _tensor_chunks(backbone: Backbone) -> Iterable[bytes]:
    state = backbone.module.state_dict()
    return (tensor_bytes(state[name]) for name in ordered_names(state))


def tensor_entries(backbone: Backbone) -> list[Entry]:
    """Return the safetensors entries of the tensors, in the order in which their bytes lie."""
    state = backbone.module.state_dict()
    return [
        Entry(name, _DTYPES[value.dtype], tuple(value.shape), value.numel() * value.element_size())
        for name in ordered_names(state)
        for value in [state[name]]
    ]
