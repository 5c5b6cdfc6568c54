"""The batcher: many requests, one pass; a fault or a delay reaches those that it belongs to."""

import threading
from time import monotonic

import numpy as np
import pytest

from serve.batcher import Batcher, LateError
from serve.turns import FullError
from worker.engine.shipped.predict import Floats


def _tensor(value: float) -> Floats:
    return np.full((3, 2, 2), value, dtype=np.float32)


class _Backbone:
    """Sums each photo; waits while `gate` is closed, and remembers the size of each batch."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, tensors: Floats) -> Floats:
        self.sizes.append(len(tensors))
        self.entered.set()
        assert self.gate.wait(20)
        if tensors.max() < 0:
            raise RuntimeError("the runtime failed")
        found: Floats = tensors.sum(axis=(2, 3))
        return found


def test_photos_of_different_merchants_share_a_pass() -> None:
    """Each merchant's photo would wait for a pass of its own."""
    backbone = _Backbone()
    batcher = Batcher(backbone, 4, 0.0, 20)
    soon = monotonic() + 20
    first = batcher.submit("a", _tensor(1), soon)
    assert backbone.entered.wait(20)
    others = [batcher.submit(f"m{number}", _tensor(number), soon) for number in range(6)]
    backbone.gate.set()
    assert first.result(20).tolist() == [4.0, 4.0, 4.0]
    assert [one.result(20)[0] for one in others] == [4.0 * number for number in range(6)]
    assert backbone.sizes == [1, 4, 2]
    batcher.close()


def test_late_and_unwanted_photos_are_not_computed() -> None:
    """Under load the process would work for clients that are gone, and be late for all."""
    backbone = _Backbone()
    batcher = Batcher(backbone, 1, 0.0, 20)
    held = batcher.submit("a", _tensor(1), monotonic() + 20)
    assert backbone.entered.wait(20)
    late = batcher.submit("a", _tensor(2), monotonic() - 1)
    gone = batcher.submit("a", _tensor(3), monotonic() + 20)
    gone.cancel()
    backbone.gate.set()
    with pytest.raises(LateError):
        late.result(20)
    held.result(20)
    batcher.close()
    assert backbone.sizes == [1]


def test_a_failed_pass_fails_its_photos_and_no_others() -> None:
    """One failure would end the thread, and with it all answers."""
    backbone = _Backbone()
    backbone.gate.set()
    batcher = Batcher(backbone, 4, 0.0, 20)
    with pytest.raises(RuntimeError):
        batcher.submit("a", _tensor(-1), monotonic() + 20).result(20)
    assert batcher.submit("a", _tensor(1), monotonic() + 20).result(20)[0] == 4.0
    batcher.close()


def test_a_full_one_refuses() -> None:
    """Photos would wait longer than anybody waits for them."""
    backbone = _Backbone()
    batcher = Batcher(backbone, 1, 0.0, 2)
    batcher.submit("a", _tensor(1), monotonic() + 20)
    assert backbone.entered.wait(20)
    for _ in range(2):
        batcher.submit("a", _tensor(1), monotonic() + 20)
    with pytest.raises(FullError):
        batcher.submit("b", _tensor(1), monotonic() + 20)
    backbone.gate.set()
    batcher.close()
