"""How a run fails: an error code of the contract with a message for its user, never a trace.

May import torch, the contract and `data`.
"""

import torch

from regraft.contract.errors import ErrorCode
from worker.engine.data import DamagedImageError

_ALLOCATION = (
    *("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc"),
    "failed to allocate memory",  # ONNX Runtime's
    "could not create a primitive",  # oneDNN's words when a convolution gets no scratch memory
    "can't start new thread",  # Python's, when there is no room for its stack
)


class EngineError(Exception):
    """A failure whose cause is known: its code, a message, and the field of the spec at fault."""

    def __init__(self, code: ErrorCode, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` means that memory ran out, on the host or on a device.

    Torch's CPU allocator raises a plain RuntimeError, and ONNX Runtime an exception of its own for
    every fault, so their text has to be read.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    may_be = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime.")
    return may_be and any(words in text for words in _ALLOCATION)


def as_engine_error(error: BaseException) -> EngineError:
    """Return the failure to report for any exception that ended a run."""
    if isinstance(error, EngineError):
        return error
    if is_out_of_memory(error):
        return EngineError(
            ErrorCode.OUT_OF_MEMORY, "The trainer ran out of memory, at the smallest batch too."
        )
    if isinstance(error, DamagedImageError):
        return EngineError(ErrorCode.TRANSIENT, f"{str(error).capitalize()}.")
    kind = type(error).__name__
    return EngineError(ErrorCode.TRAINER_FAILED, f"The trainer met an unexpected {kind}: {error}")
