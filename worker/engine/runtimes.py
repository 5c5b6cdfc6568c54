"""What a backbone's forward pass runs in: torch, or ONNX Runtime on the backbone's exported graph.

Both give the same features within `graph.BACKBONE_TOLERANCE` times their size, not the same bits:
the profile of each is part of every feature's key.
May import torch, onnxruntime, numpy, the contract and the engine's own modules.
"""

import functools
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from worker.engine.backbone import Backbone, forward
from worker.engine.export import graph
from worker.engine.failures import is_out_of_memory


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
        inputs = {graph.INPUT: np.ascontiguousarray(pixels.numpy())}
        try:
            found: Any = self._session.run([graph.FEATURES], inputs)[0]
        except Exception as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise
        return torch.from_numpy(found)


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
