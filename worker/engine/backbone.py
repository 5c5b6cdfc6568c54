"""Build the backbone of a catalogue record, with its real weights or, when asked, with none.

May import torch, torchvision, timm, safetensors and the contract.
"""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
import torchvision
from safetensors import SafetensorError
from torch import nn

from regraft.contract.catalog import BACKBONES, BackboneRecord
from regraft.contract.errors import ErrorCode
from worker.engine import weights
from worker.engine.failures import EngineError


class Backbone(NamedTuple):
    """A frozen network from pixels to features, and the record of what it is.

    `module` maps float images [n, 3, size, size] to features [n, num_features]; it is in eval
    mode without gradients and shared between runs: a strategy that trains must copy it.
    """

    record: BackboneRecord
    module: nn.Module


def prepared(name: str, weights_dir: Path | None) -> Backbone:
    """Return the backbone `name` with its published weights, built once in a process.

    Raises:
        EngineError: WEIGHTS_MISSING where the file is not there or not the published one.
    """
    return of_record(BACKBONES[name], weights_dir)


def of_record(record: BackboneRecord, weights_dir: Path | None) -> Backbone:
    """Return the backbone of a record, as `prepared` does."""
    path = weights.locate(record, weights_dir)
    facts = path.stat()
    return _built(record, path, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=4)
def _built(record: BackboneRecord, path: Path, _mtime_ns: int, _size: int) -> Backbone:
    module = _architecture(record)
    state = _state(record, path, module.state_dict())
    module.set_submodule(record.classifier, nn.Identity())
    head = f"{record.classifier}."
    state = {key: value for key, value in state.items() if not key.startswith(head)}
    _load_strictly(module, state, path)
    if path.suffix == ".safetensors":
        weights.check_tensors(record, path, state)
    module.requires_grad_(requires_grad=False)
    module.eval()
    return Backbone(record, module.to(memory_format=torch.channels_last))


def _architecture(record: BackboneRecord, **options: int) -> nn.Module:
    """Return the network with its classifier and random weights."""
    models: Any = torchvision.models
    build: Any = timm.create_model if record.library == "timm" else models.get_model
    module: nn.Module = build(record.architecture, **options)
    return module


def _state(record: BackboneRecord, path: Path, names: Iterable[str]) -> weights.State:
    """Return the tensors of a weight file under the network's names, or say why it is none."""
    try:
        return weights.renamed(weights.load(record, path), names)
    except (SafetensorError, LookupError, ValueError) as error:
        raise EngineError(
            ErrorCode.WEIGHTS_MISSING, f"{path} holds no weights of {record.name}: {error}"
        ) from error


def _load_strictly(module: nn.Module, state: weights.State, path: Path) -> None:
    """Load every tensor by name; a missing, extra or misshapen one is an error."""
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise EngineError(
            ErrorCode.WEIGHTS_MISSING, f"{path} does not fit the backbone: {error}"
        ) from error


def untrained(record: BackboneRecord, num_classes: int, seed: int) -> nn.Module:
    """Return the same architecture with random weights and a head, for training from scratch.

    The global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _architecture(record, num_classes=num_classes)
    return module.to(memory_format=torch.channels_last)
