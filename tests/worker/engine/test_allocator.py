"""Freed memory is asked for again without the kernel, and given back at the end."""

import json
import subprocess
import sys

import pytest

_STEPS = """
import json, resource
import numpy as np
from worker.engine.allocator import kept_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    before = faults()
    np.ones(100 << 20, dtype=np.uint8)
    return faults() - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

step()
loose = step()
with kept_memory():
    step()
    kept = step()
    within = resident()
print(json.dumps([loose, kept, within - resident()]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_a_step_asks_the_kernel_for_nothing_that_the_last_one_had() -> None:
    """Each step of training would wait for pages of zeros: up to a third of its time."""
    done = subprocess.run(
        [sys.executable, "-c", _STEPS], check=True, capture_output=True, text=True, timeout=60
    )
    loose, kept, given_back = json.loads(done.stdout)
    assert loose > 100
    assert kept < loose / 10
    assert given_back > 50 << 20
