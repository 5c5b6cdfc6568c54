"""A backbone in ONNX Runtime, from the bytes that its models share to features.

A model's `model.onnx` is a backbone without an output and a patch with the head (docs/adr/0005);
here the backbone gets a patch that makes its features the output, and the head stays outside.
"""

from typing import Any

import numpy as np
import onnxruntime

from worker.engine.shipped.predict import Floats

_INPUT, _FEATURES = "images", "features"
_FLOAT = 1  # onnx.TensorProto.FLOAT
_VARINT, _BYTES = 0, 2  # protobuf wire types
_RANK = 4


class UnusableGraphError(Exception):
    """The bytes are no backbone that can be run."""


class Graph:
    """A loaded backbone for photos of `side` pixels; runs one batch at a time."""

    def __init__(self, backbone: bytes, num_features: int, num_threads: int) -> None:
        runtime: Any = onnxruntime
        options = runtime.SessionOptions()
        options.intra_op_num_threads = num_threads
        # Threads that spin between batches take the processors from the decoders.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(
                backbone + features_patch(num_features), options, providers=["CPUExecutionProvider"]
            )
            shape = self._session.get_inputs()[0].shape
        except Exception as error:  # the runtime's errors have no common base
            raise UnusableGraphError(str(error)) from error
        if len(shape) != _RANK or not isinstance(shape[3], int):
            raise UnusableGraphError(f"its input has the shape {shape}")
        self.side: int = shape[3]

    def features(self, tensors: Floats) -> Floats:
        """Return the features [n, d] of tensors [n, 3, side, side]."""
        found = self._session.run([_FEATURES], {_INPUT: tensors})[0]
        return np.asarray(found, dtype=np.float32)


def features_patch(num_features: int) -> bytes:
    """Return a serialised `ModelProto` that holds nothing but the output `features` [batch, d].

    Written by hand (https://protobuf.dev/programming-guides/encoding, field numbers of onnx.proto)
    because the onnx package would double this process's size for these few bytes.
    """
    batch = _field(2, b"batch")
    width = _key(1, _VARINT) + _varint(num_features)
    shape = _field(1, batch) + _field(1, width)
    tensor = _key(1, _VARINT) + _varint(_FLOAT) + _field(2, shape)
    value = _field(1, _FEATURES.encode()) + _field(2, _field(1, tensor))
    return _field(7, _field(12, value))


def _field(number: int, content: bytes) -> bytes:
    return _key(number, _BYTES) + _varint(len(content)) + content


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
