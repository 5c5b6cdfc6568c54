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
from safetensors.torch import load_file
from torch import Tensor, nn

from regraft.contract.catalog import BACKBONES, BackboneRecord
from regraft.contract.errors import ErrorCode
from worker.engine import weights
from worker.engine.failures import EngineError
from worker.engine.runspec import BaseModelFile, RunSpec

_NAMED = 10


class Backbone(NamedTuple):
    """A frozen network from pixels to features, and the record of what it is.

    `module` maps float images [n, 3, size, size] to features [n, num_features]; it is in eval
    mode without gradients and shared between runs: a strategy that trains must copy it.
    `own_weights` is the hash of weights that are not the published ones, null where they are.
    """

    record: BackboneRecord
    module: nn.Module
    own_weights: str | None = None

    @property
    def fingerprint(self) -> str:
        """What its features depend on: the weights' hash, the published file's where it is that."""
        return self.own_weights or self.record.weights_fingerprint


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


def starting(spec: RunSpec) -> Backbone:
    """Return the backbone that a run starts from: of its base model, or of the catalogue."""
    if spec.base_model is not None:
        return of_model(spec.base_model, spec.weights_dir)
    return prepared(spec.backbones[0], spec.weights_dir)


def of_model(model: BaseModelFile, weights_dir: Path | None) -> Backbone:
    """Return the backbone of a finished model, whose head is left behind.

    A model whose backbone was frozen has the published weights: its backbone is the published.

    Raises:
        EngineError: VALIDATION_FAILED where the file does not hold exactly the model's tensors.
    """
    record = BACKBONES[model.backbone]
    module = _architecture(record)
    state = _model_state(model)
    head = {f"{record.classifier}.{part}" for part in ("weight", "bias")}
    _require_names(model, state, module.state_dict().keys() | head)
    module.set_submodule(record.classifier, nn.Identity())
    state = {name: value for name, value in state.items() if name not in head}
    published = _published(record, weights_dir)
    fingerprint = weights.hash_of(state)
    if published is not None and fingerprint == weights.hash_of(published.module.state_dict()):
        return published
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise _unfit(model, str(error)) from error
    return own(record, module, fingerprint)


def own(record: BackboneRecord, module: nn.Module, fingerprint: str | None = None) -> Backbone:
    """Return a backbone with weights of its own, frozen."""
    module.requires_grad_(requires_grad=False)
    module.eval()
    found = fingerprint or weights.hash_of(module.state_dict())
    return Backbone(record, module.to(memory_format=torch.channels_last), found)


def forward(backbone: Backbone, pixels: Tensor) -> Tensor:
    """Return float32 features [n, d] of pixels [n, 3, size, size]."""
    with torch.inference_mode():
        result: Tensor = backbone.module(pixels.contiguous(memory_format=torch.channels_last))
    return result.clone()


def _published(record: BackboneRecord, weights_dir: Path | None) -> Backbone | None:
    """Return the published backbone, or null where this host has not its weights."""
    try:
        return of_record(record, weights_dir)
    except EngineError:
        return None


def _model_state(model: BaseModelFile) -> weights.State:
    try:
        return load_file(model.weights)
    except (OSError, SafetensorError) as error:
        raise _unfit(model, str(error)) from error


def _require_names(model: BaseModelFile, state: weights.State, expected: set[str]) -> None:
    """Raise where a tensor is missing or not known, naming the first of them."""
    faults = [
        f"{len(names)} tensors are {how}: {', '.join(sorted(names)[:_NAMED])}"
        for how, names in (
            ("missing", expected - state.keys()),
            ("unknown", state.keys() - expected),
        )
        if names
    ]
    if faults:
        raise _unfit(model, "; ".join(faults))


def _unfit(model: BaseModelFile, why: str) -> EngineError:
    message = f"{model.weights.name} does not fit {model.backbone}: {why}."
    return EngineError(ErrorCode.VALIDATION_FAILED, message, "base.model")


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
