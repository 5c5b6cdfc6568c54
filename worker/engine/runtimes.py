"""What a backbone's forward pass runs in: torch on the CPU or a GPU, or ONNX Runtime on its graph.

All give the same features within `graph.BACKBONE_TOLERANCE` times their size, not the same bits:
the profile of each is part of every feature's key.
May import torch, onnxruntime, numpy, the contract and the engine's own modules.
"""

import copy
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from worker.engine.backbone import Backbone, forward
from worker.engine.device import device
from worker.engine.export import graph
from worker.engine.failures import is_out_of_memory

_AT_ONCE = 8  # images whose activations stay in the caches: an eighth faster than 32 (EfficientNet)


class Runtime(Protocol):
    """Runs one backbone; `profile` says in words what decides the last digits of its features."""

    profile: str

    def features(self, pixels: Tensor) -> Tensor:
        """Return float32 features [n, d] of pixels [n, 3, size, size]."""


class Eager:
    """Torch as it is, on the CPU: what every other runtime is compared with."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self.profile = f"{_versions('torch', 'torchvision', 'timm')}, cpu, fp32, eager"
        self.profile += ", channels_last"

    def features(self, pixels: Tensor) -> Tensor:
        """Return float32 features [n, d] of pixels [n, 3, size, size]."""
        return forward(self._backbone, pixels)


class OnDevice:
    """Torch on a GPU, in full precision, since halves miss the tolerance (ADR 0020).

    Works on any device of torch's. The network is copied there on the first call, and kept for all
    runs of this process. Compiled, it sees batches of few sizes: one that holds for all sizes takes
    minutes to compile.
    """

    def __init__(
        self, backbone: Backbone, where: torch.device, compiler: str | None = None
    ) -> None:
        """Run on `where`, through the backend of `torch.compile` that `compiler` names."""
        self._backbone = backbone
        self._where = where
        self._compiler = compiler
        named = torch.cuda.get_device_name(where) if where.type == "cuda" else where.type
        self.profile = f"{_versions('torch', 'torchvision', 'timm')}, {named}, fp32, "
        self.profile += f"{compiler or 'eager'}, channels_last"

    def features(self, pixels: Tensor) -> Tensor:
        """Return float32 features [n, d] of pixels [n, 3, size, size], both on the CPU."""
        module = _moved(self._backbone.module, self._where, self._compiler)
        with torch.inference_mode(), _full_precision():
            there = self._filled(pixels).to(self._where, memory_format=torch.channels_last)
            found: Tensor = module(there).cpu()
        return found[: len(pixels)].clone()

    def _filled(self, pixels: Tensor) -> Tensor:
        """Return pixels to be compiled for: with empty images, up to a power of two."""
        count = len(pixels)
        if self._compiler is None or not count:
            return pixels
        more = (1 << (count - 1).bit_length()) - count
        return torch.cat([pixels, pixels.new_zeros(more, *pixels.shape[1:])])


def torch_runtime(backbone: Backbone) -> Runtime:
    """Return the runtime of a backbone that is worth no export: torch on the device that trains."""
    where = device()
    return Eager(backbone) if where.type == "cpu" else OnDevice(backbone, where)


@functools.lru_cache(maxsize=4)
def _moved(module: nn.Module, where: torch.device, compiler: str | None) -> nn.Module:
    """Return a copy of a frozen network on a device, compiled where that is asked for."""
    there: Any = copy.deepcopy(module)
    found: nn.Module = there.to(where, memory_format=torch.channels_last)
    if compiler is not None:
        found.compile(backend=compiler, dynamic=False)
    return found


def _full_precision() -> AbstractContextManager[None]:
    """Return what keeps a GPU from rounding to 10 bits, and from choosing algorithms by the clock.

    Torch lets convolutions do the first unless told not to (torch.backends.cudnn.allow_tf32).
    """
    flags: Any = torch.backends.cudnn.flags
    found: AbstractContextManager[None] = flags(enabled=True, deterministic=True, allow_tf32=False)
    return found


class Onnx:
    """ONNX Runtime on the CPU: batch norms folded into convolutions, layouts of its own.

    `graph_path` gives the backbone's graph, made on the first call; its session is kept for all
    runs of this process.
    """

    def __init__(self, num_features: int, graph_path: Callable[[], Path]) -> None:
        self._num_features = num_features
        self._graph_path = graph_path
        self._session: Any = None
        made_by = _versions("torch", "torchvision", "timm", "onnxscript", "onnxruntime")
        self.profile = f"{made_by}, cpu, fp32, onnxruntime"

    def features(self, pixels: Tensor) -> Tensor:
        """Return float32 features [n, d] of pixels [n, 3, size, size]."""
        if self._session is None:
            path = self._graph_path()
            facts = path.stat()
            self._session = _session(
                path, facts.st_mtime_ns, self._num_features, torch.get_num_threads()
            )
        rows = np.ascontiguousarray(pixels.numpy())
        starts = range(0, max(1, len(rows)), _AT_ONCE)
        pieces = ({graph.INPUT: rows[start : start + _AT_ONCE]} for start in starts)
        try:
            found = [self._session.run([graph.FEATURES], piece)[0] for piece in pieces]
        except Exception as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise
        return torch.from_numpy(np.concatenate(found))


@functools.lru_cache(maxsize=4)
def _session(path: Path, _mtime_ns: int, num_features: int, num_threads: int) -> Any:
    """Return a session of the graph at `path`; its threads sleep while images are decoded."""
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 4  # what goes wrong is raised, and mostly lack of memory
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    whole = path.read_bytes() + graph.features_patch(num_features)
    return runtime.InferenceSession(whole, options, providers=["CPUExecutionProvider"])


def _versions(*names: str) -> str:
    return ", ".join(f"{name} {version(name)}" for name in names)
