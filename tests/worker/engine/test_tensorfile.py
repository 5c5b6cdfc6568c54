"""Tensor files that any safetensors reader takes."""

import numpy as np
from safetensors.numpy import load

from worker.engine.tensorfile import Entry, header


def test_the_library_reads_what_was_put_together_by_parts() -> None:
    """A merchant could not load the downloaded model."""
    counts, weights = np.arange(3, dtype=np.int64), np.ones((2, 5), dtype=np.float32)
    entries = [Entry("counts", "I64", (3,), 24), Entry("ü.weights", "F32", (2, 5), 40)]
    head = header(entries, {"b": "1", "a": "ü"})
    assert len(head) % 8 == 0
    found = load(head + counts.tobytes() + weights.tobytes())
    assert np.array_equal(found["counts"], counts)
    assert np.array_equal(found["ü.weights"], weights)
    assert head == header(entries, {"a": "ü", "b": "1"})
