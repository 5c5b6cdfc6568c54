"""Photos of different merchants pass one backbone together, a batch at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from time import monotonic
from typing import NamedTuple

import numpy as np

from serve.turns import Turns
from worker.engine.shipped.predict import Floats

Forward = Callable[[Floats], Floats]


class LateError(Exception):
    """The photo's turn came after its deadline."""


class _Waiting(NamedTuple):
    tensor: Floats
    deadline: float
    features: "Future[Floats]"


class Batcher:
    """One thread that runs `forward` from tensors [n, 3, s, s] to features [n, d]."""

    def __init__(self, forward: Forward, size: int, linger: float, room: int) -> None:
        self._forward = forward
        self._size = size
        self._linger = linger
        self._turns: Turns[_Waiting] = Turns(room)
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, merchant: str, tensor: Floats, deadline: float) -> "Future[Floats]":
        """Return the features [d] to come of a tensor [3, s, s].

        They may fail with `LateError` where `deadline`, on the monotonic clock, passes before.
        Raises `FullError`.
        """
        waiting = _Waiting(tensor, deadline, Future())
        self._turns.put(merchant, waiting)
        return waiting.features

    def close(self) -> None:
        """End the thread once what waits is done."""
        self._turns.close()

    def _run(self) -> None:
        while taken := self._turns.take(self._size, self._linger):
            batch = [waiting for waiting in taken if _is_wanted(waiting)]
            if batch:
                self._pass(batch)

    def _pass(self, batch: list[_Waiting]) -> None:
        try:
            rows = self._forward(np.stack([waiting.tensor for waiting in batch]))
        except Exception as error:  # noqa: BLE001 - the runtime's errors have no common base
            for waiting in batch:
                waiting.features.set_exception(error)
            return
        for waiting, row in zip(batch, rows, strict=True):
            waiting.features.set_result(row)


def _is_wanted(waiting: _Waiting) -> bool:
    """Tell whether somebody still waits for a photo; whoever waits too long is told."""
    if not waiting.features.set_running_or_notify_cancel():
        return False
    if waiting.deadline < monotonic():
        waiting.features.set_exception(LateError())
        return False
    return True
