"""Every exception becomes one failure that its reader can act on."""

import onnxruntime
import pytest
import torch

from regraft.contract.errors import ErrorCode
from worker.engine.failures import EngineError, as_engine_error, is_out_of_memory


def test_memory_that_really_runs_out_is_recognised() -> None:
    """Torch's CPU allocator says so in a plain RuntimeError only."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert as_engine_error(caught.value).code is ErrorCode.OUT_OF_MEMORY
    assert is_out_of_memory(MemoryError())


def test_memory_that_runs_out_in_onnx_runtime_is_recognised() -> None:
    """A merchant would read of a fault of ours where a smaller backbone would do."""
    said = "BFCArena Failed to allocate memory for requested buffer of size 24084480"
    error = onnxruntime.capi.onnxruntime_pybind11_state.Fail(said)
    assert as_engine_error(error).code is ErrorCode.OUT_OF_MEMORY
    other = onnxruntime.capi.onnxruntime_pybind11_state.Fail("Invalid rank for input: pixels")
    assert as_engine_error(other).code is ErrorCode.TRAINER_FAILED


def test_other_failures_keep_their_name_and_code() -> None:
    """A shape error would be taken for too little memory and tried again and again."""
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not is_out_of_memory(caught.value)
    assert as_engine_error(caught.value).code is ErrorCode.TRAINER_FAILED
    known = EngineError(ErrorCode.DIVERGED, "x", "hyperparameters")
    assert as_engine_error(known) is known
