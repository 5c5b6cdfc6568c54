"""Which runtime a backbone runs in: measured once for an installation, then written down.

Two boots and two workers must agree, or one would not find what the other has computed.
May import torch, the contract and the engine's own modules.
"""

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from worker.engine.backbone import Backbone
from worker.engine.context import Context
from worker.engine.device import device
from worker.engine.export import graph
from worker.engine.export.shared import shared_parts
from worker.engine.failures import EngineError, is_out_of_memory
from worker.engine.runspec import Surroundings
from worker.engine.runtimes import Eager, OnDevice, Onnx, Runtime, torch_runtime

EAGER, ONNX = "eager", "onnxruntime"
CUDA, COMPILED = "cuda", "cuda_compiled"
_WORTH = 1.2  # times as fast as eager, or eager it stays
_IMAGES = 8
_REPEATS = 3
Seconds = Callable[[Runtime, Tensor], float]


def runtime_of(spec: Surroundings, backbone: Backbone, context: Context) -> Runtime:
    """Return the runtime of a backbone's forward pass.

    A backbone with weights of its own runs in torch: the export of its graph costs as much as
    some 500 images. For a published one it is `spec.runtime`, or else what was measured.
    """
    if backbone.own_weights is not None:
        return torch_runtime(backbone)
    runtimes: dict[str, Runtime] = {
        EAGER: Eager(backbone),
        ONNX: _onnx(spec, backbone, context),
        **_on_gpu(backbone),
    }
    if spec.runtime is not None:
        if spec.runtime in runtimes:
            return runtimes[spec.runtime]
        context.event(f"This host has no {spec.runtime}: features are computed by torch.", "warn")
        return runtimes[EAGER]
    path = spec.shared_cache / "runtimes" / f"{_question(runtimes)}.{backbone.record.name}.json"
    name = _written(path)
    if name is None:
        name = _first_written(path, _measured(backbone, runtimes, context))
    return runtimes[name]


def _on_gpu(backbone: Backbone) -> dict[str, Runtime]:
    """Return what a GPU adds to choose from."""
    where = device()
    if where.type == "cpu":
        return {}
    return {CUDA: OnDevice(backbone, where), COMPILED: OnDevice(backbone, where, "inductor")}


def _onnx(spec: Surroundings, backbone: Backbone, context: Context) -> Onnx:
    def path() -> Path:
        parts = shared_parts(backbone, spec.shared_cache, True, context.event)
        if parts.graph is None:
            raise RuntimeError("a graph was asked for and none was made")
        return parts.graph

    return Onnx(backbone.record.num_features, path)


def _question(runtimes: Mapping[str, Runtime]) -> str:
    """Return a name for what was chosen from: other versions are measured anew."""
    profiles = "\n".join(one.profile for one in runtimes.values())
    return hashlib.sha256(profiles.encode()).hexdigest()[:16]


def _written(path: Path) -> str | None:
    """Return the runtime written down at `path`; null where there is none, or it is damaged."""
    try:
        name = str(json.loads(path.read_text())["runtime"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        name = ""
    if name in {EAGER, ONNX, CUDA, COMPILED}:
        return name
    path.unlink(missing_ok=True)
    return None


def _first_written(path: Path, found: dict[str, object]) -> str:
    """Write down what was found, unless another process was faster; return what stands there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    own.write_text(json.dumps(found))
    try:
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink()
    return _written(path) or str(found["runtime"])


def _measured(
    backbone: Backbone, runtimes: Mapping[str, Runtime], context: Context
) -> dict[str, object]:
    """Measure all on noise, say which is taken, and return that with the seconds of each."""
    generator = torch.Generator().manual_seed(0)
    size = backbone.record.input_size
    pixels = torch.rand(_IMAGES, 3, size, size, generator=generator) * 2 - 1

    def dropped(one: str, error: Exception) -> None:
        context.event(f"Features are not computed in {one}, which fails: {error}", "warn")

    seconds = compared(runtimes, pixels, dropped)
    name = fastest(seconds)
    rate = {one: round(_IMAGES / taken, 1) for one, taken in seconds.items()}
    listed = ", ".join(f"{one} {value:g}" for one, value in rate.items())
    message = f"Features of {backbone.record.name} are computed in {name}, measured once for this"
    context.event(f"{message} installation (images/s: {listed}).")
    return {"runtime": name, "images_per_second": rate}


def seconds_of(runtime: Runtime, pixels: Tensor) -> float:
    """Return the least time of a few passes; the first, which warms up, is not counted."""
    runtime.features(pixels)
    taken = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        runtime.features(pixels)
        taken.append(time.perf_counter() - started)
    return min(taken)


def compared(
    runtimes: Mapping[str, Runtime],
    pixels: Tensor,
    dropped: Callable[[str, Exception], None],
    seconds: Seconds = seconds_of,
) -> dict[str, float]:
    """Return the seconds of each runtime whose features equal eager's within the tolerance.

    `dropped` is told of one that cannot run; where memory is out, that is the run's end.
    """
    expected = runtimes[EAGER].features(pixels)
    allowed = graph.BACKBONE_TOLERANCE * max(1.0, float(expected.abs().max()))
    found = {}
    for name, runtime in runtimes.items():
        try:
            if float((runtime.features(pixels) - expected).abs().max()) <= allowed:
                found[name] = seconds(runtime, pixels)
        except (EngineError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise
            dropped(name, error)
    return found


def fastest(seconds: Mapping[str, float]) -> str:
    """Return the fastest runtime, or eager where none is clearly faster."""
    best = min(seconds, key=lambda name: seconds[name])
    return best if seconds[EAGER] >= _WORTH * seconds[best] else EAGER
