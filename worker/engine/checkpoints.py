"""Where a training stands, as files: written so that a power cut leaves the one before.

A checkpoint is one safetensors file: tensors, and a JSON note with its identity and a hash of
all of it in the metadata. No pickle. May import torch, safetensors and the engine's own modules.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from worker.engine.context import Context
from worker.engine.files import file_hash, write_durably
from worker.engine.tensorfile import Entry, header
from worker.engine.weights import ordered_names, tensor_bytes

_VERSION = 1
_REPORTED = "reported"
_KEPT = 2
_MAX_SHARE = 0.02  # of the run's time, for writing
_MIN_INTERVAL = 2.0  # seconds; between two writes
MAX_INTERVAL = 60.0
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.int64: "I64",
}


class Saved(NamedTuple):
    """Named tensors, and a JSON object of whatever else says where a training stands."""

    tensors: dict[str, Tensor]
    note: dict[str, Any]


class Checkpoints(Protocol):
    """Where a training leaves its checkpoints, and finds the one to go on from."""

    def restored(self) -> Saved | None:
        """Return what the training is to go on from; null where it starts anew."""

    def due(self, *, epoch_ended: bool) -> bool:
        """Tell whether to write one now."""

    def write(self, saved: Saved, step: int, epoch: int) -> None:
        """Keep a checkpoint."""


class NoCheckpoints:
    """Keeps nothing: for a training that is cheap, or only tried."""

    def restored(self) -> Saved | None:
        """Return null: it always starts anew."""
        return None

    def due(self, *, epoch_ended: bool) -> bool:
        """Return false."""
        del epoch_ended
        return False

    def write(self, saved: Saved, step: int, epoch: int) -> None:
        """Keep nothing."""


class CheckpointFiles:
    """The checkpoints of one run: `identity` is all that must agree for one to be used."""

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, object],
        resume_from: Path | None,
        context: Context,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        text = json.dumps([_VERSION, identity], sort_keys=True)
        self._identity = hashlib.sha256(text.encode()).hexdigest()
        self._folder = folder
        self._resume_from = resume_from
        self._context = context
        self._clock = clock
        self._written_at = clock()
        self._cost = 0.0

    def restored(self) -> Saved | None:
        """Return what the run is to go on from; null for a run that starts anew.

        A checkpoint that is damaged or of another run is refused with an event.
        """
        path = self._resume_from
        if path is None:
            return None
        try:
            saved = self._read(path)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            self._context.event(
                f"The checkpoint {path.name} cannot be used, the training starts anew: {error}.",
                "warn",
            )
            return None
        self._context.event("Goes on from a checkpoint.", checkpoint=path.name)
        self._context.resume(saved.note.pop(_REPORTED, {}))
        return saved

    def _read(self, path: Path) -> Saved:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if metadata["content"] != _content_hash(tensors, metadata["note"]):
            raise ValueError("its bytes have changed")
        if metadata["identity"] != self._identity:
            raise ValueError("it is of another run")
        note: dict[str, Any] = json.loads(metadata["note"])
        return Saved(tensors, note)

    def due(self, *, epoch_ended: bool) -> bool:
        """Tell whether to write now: after an epoch, or a minute; at most 2% of the time."""
        waited = self._clock() - self._written_at
        pause = max(_MIN_INTERVAL, self._cost / _MAX_SHARE)
        return waited >= (pause if epoch_ended else max(pause, MAX_INTERVAL))

    def write(self, saved: Saved, step: int, epoch: int) -> None:
        """Write and report a checkpoint, and drop all but the last two."""
        started = self._clock()
        facts = {**saved.note, _REPORTED: self._context.reported()}
        note = json.dumps(facts, sort_keys=True)
        metadata = {"identity": self._identity, "note": note}
        metadata["content"] = _content_hash(saved.tensors, note)
        names = ordered_names(saved.tensors)
        entries = [_entry(name, saved.tensors[name]) for name in names]
        path = self._folder / f"step-{step:09d}.safetensors"
        chunks = (tensor_bytes(saved.tensors[name]) for name in names)
        write_durably(path, chain([header(entries, metadata)], chunks))
        for old in sorted(self._folder.glob("step-*.safetensors"))[:-_KEPT]:
            old.unlink()
        self._context.checkpoint(path, file_hash(path), path.stat().st_size, step, epoch)
        self._written_at = self._clock()
        self._cost = self._written_at - started


def _entry(name: str, value: Tensor) -> Entry:
    size = value.numel() * value.element_size()
    return Entry(name, _DTYPES[value.dtype], tuple(value.shape), size)


def _content_hash(tensors: Mapping[str, Tensor], note: str) -> str:
    digest = hashlib.sha256(note.encode())
    for name in ordered_names(tensors):
        digest.update(name.encode())
        digest.update(tensor_bytes(tensors[name]))
    return digest.hexdigest()
