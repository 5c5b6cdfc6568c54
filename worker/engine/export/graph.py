"""The ONNX model in two parts: the backbone's graph, and a patch with the head.

Two serialised `ModelProto` messages, one after the other, parse as one model, because protobuf
merges repeated embedded messages. May import torch, onnx, onnxruntime and the engine's modules.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from regraft.contract.errors import ErrorCode
from worker.engine.backbone import Backbone, forward
from worker.engine.failures import EngineError
from worker.engine.head import Head
from worker.engine.shipped.predict import Floats

INPUT, FEATURES = "images", "features"
OPSET = 20
_IR_VERSION = 10
BACKBONE_TOLERANCE = 1e-3  # absolute, on features of order 1


def backbone_graph(backbone: Backbone) -> bytes:
    """Return the backbone as a serialised model without an output: `images` to `features`.

    The same bytes in every process: whatever names a source line, a path or a time is removed.
    """
    record = backbone.record
    example = torch.zeros(2, 3, record.input_size, record.input_size)
    program: Any = torch.onnx.export(
        backbone.module,
        (example,),
        dynamo=True,
        verbose=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[FEATURES],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    model = program.model_proto
    _strip(model)
    return bytes(model.SerializeToString(deterministic=True))


def _strip(model: Any) -> None:
    """Remove outputs, intermediate shapes, and everything that only describes the export."""
    graph = model.graph
    del graph.output[:]
    del graph.value_info[:]
    model.producer_name, model.producer_version, graph.name = "regraft", "", "model"
    del model.metadata_props[:]
    for described in (model, graph, *graph.node, *graph.initializer, *graph.input):
        described.ClearField("doc_string")
        if "metadata_props" in described.DESCRIPTOR.fields_by_name:
            described.ClearField("metadata_props")


def features_patch(num_features: int) -> bytes:
    """Return the patch that makes the backbone's features the output."""
    value = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", num_features])
    return _patch(outputs=[value])


def head_patch(head: Head) -> bytes:
    """Return the patch that adds the head and the outputs `probabilities` and `logits`."""
    num_classes = head.weight.shape[0]
    nodes = [
        helper.make_node(
            "Gemm", [FEATURES, "head.weight", "head.bias"], ["logits"], name="head", transB=1
        ),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="softmax", axis=1),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", num_classes])
        for name in ("probabilities", "logits")
    ]
    weights = [
        numpy_helper.from_array(head.weight.contiguous().numpy(), "head.weight"),
        numpy_helper.from_array(head.bias.contiguous().numpy(), "head.bias"),
    ]
    return _patch(nodes=nodes, initializers=weights, outputs=outputs)


def _patch(
    nodes: list[Any] | None = None,
    initializers: list[Any] | None = None,
    outputs: list[Any] | None = None,
) -> bytes:
    """Return a model that holds nothing but these: merging must not repeat versions or names."""
    model = onnx.ModelProto()
    model.graph.node.extend(nodes or [])
    model.graph.initializer.extend(initializers or [])
    model.graph.output.extend(outputs or [])
    return bytes(model.SerializeToString(deterministic=True))


def head_alone(patch: bytes, num_features: int) -> bytes:
    """Return a model of the head by itself, from features, so that a patch can be tried."""
    model = onnx.ModelProto()
    model.ir_version = _IR_VERSION
    model.opset_import.append(helper.make_opsetid("", OPSET))
    model.graph.name = "model"
    value = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", num_features])
    model.graph.input.append(value)
    return bytes(model.SerializeToString(deterministic=True)) + patch


def run(model: bytes | Path, output: str, inputs: dict[str, Floats]) -> Floats:
    """Run a model in ONNX Runtime on the CPU and return one output."""
    runtime: Any = onnxruntime
    source = model if isinstance(model, bytes) else str(model)
    session = runtime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output], inputs)[0], dtype=np.float32)


def verify(backbone: Backbone, graph: bytes) -> None:
    """Raise PARITY_FAILED unless ONNX Runtime gives the features that torch gives, on noise."""
    whole = graph + features_patch(backbone.record.num_features)
    onnx.checker.check_model(whole, full_check=True)
    generator = torch.Generator().manual_seed(0)
    size = backbone.record.input_size
    pixels = torch.rand(3, 3, size, size, generator=generator) * 2 - 1
    expected = forward(backbone, pixels).numpy()
    found = run(whole, FEATURES, {INPUT: pixels.numpy()})
    worst = float(np.abs(expected - found).max())
    if not worst <= BACKBONE_TOLERANCE:
        raise EngineError(
            ErrorCode.PARITY_FAILED,
            f"The exported backbone's features differ by {worst:.2g} from the trained one's, "
            f"more than {BACKBONE_TOLERANCE:g}.",
        )
