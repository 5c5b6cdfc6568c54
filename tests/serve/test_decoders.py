"""The pool of decoding children: the predictor's own pixels, and photos that mean harm."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.settings import UploadLimits
from regraft.contract.verdict import Verdict
from serve.decoders import Decoders, UnreadableError
from serve.messages import Preprocess
from serve.turns import FullError
from tests.serve.conftest import GREEN, photo
from tests.support.served import PREPROCESS
from worker.engine.shipped.predict import square

SAMPLES = Path(__file__).parents[2] / "samples" / "fashion-mnist" / "target-test"
SETTINGS = Preprocess.model_validate({**PREPROCESS, "resize": 64, "input_size": 56})


@pytest.fixture(scope="module")
def others() -> frozenset[int]:
    """Children of pools that other tests of this process have open."""
    return frozenset(_children())


@pytest.fixture(scope="module")
def decoders(others: frozenset[int]) -> Iterator[Decoders]:
    """One child, which the tests share, beside those of `others`."""
    pool = Decoders(1, UploadLimits(max_pixels=1_000_000), 3.0, 50)
    yield pool
    pool.close()


def _children() -> list[int]:
    mine = os.getpid()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == mine and b"serve.child" in command:
            found.append(int(entry.name))
    return found


def _verdict(decoders: Decoders, data: bytes) -> Verdict:
    with pytest.raises(UnreadableError) as raised:
        decoders.submit("a", data, SETTINGS).result(30)
    return raised.value.verdict


def test_pixels_are_the_shipped_predictors_bit_for_bit(decoders: Decoders) -> None:
    """Other pixels than the download's would give other answers."""
    photos = [path.read_bytes() for path in sorted(SAMPLES.rglob("*.png"))[:6]]
    photos += [photo(GREEN, "JPEG", 300), photo(GREEN, "WEBP", 90)]
    found = [decoders.submit("a", data, SETTINGS) for data in photos]
    for pixels, data in zip(found, photos, strict=True):
        assert np.array_equal(pixels.result(30), square(data, SETTINGS.settings))


def test_a_bomb_is_refused_by_its_header(decoders: Decoders) -> None:
    """A few kilobytes would unpack to gigabytes."""
    bomb = photo(GREEN, side=4000)
    assert len(bomb) < 200_000
    assert _verdict(decoders, bomb) is Verdict.TOO_MANY_PIXELS


def test_a_child_that_dies_costs_one_photo(decoders: Decoders, others: frozenset[int]) -> None:
    """A photo that kills its decoder would take the service with it."""
    assert decoders.submit("a", photo(), SETTINGS).result(30).shape == (56, 56, 3)
    (child,) = set(_children()) - others
    os.kill(child, signal.SIGSTOP)
    started = time.monotonic()
    assert _verdict(decoders, photo()) is Verdict.DECODER_FAILED
    assert time.monotonic() - started < 25
    assert decoders.submit("a", photo(), SETTINGS).result(30).shape == (56, 56, 3)
    assert child not in _children()


def test_the_children_know_nothing(decoders: Decoders, others: frozenset[int]) -> None:
    """A photo that takes over its decoder would read the database's password."""
    decoders.submit("a", photo(), SETTINGS).result(30)
    (child,) = set(_children()) - others
    named = Path(f"/proc/{child}/environ").read_bytes()
    assert b"REGRAFT_PARENT_PID" in named
    assert b"DATABASE" not in named
    limits = Path(f"/proc/{child}/limits").read_text()
    assert "unlimited" not in next(line for line in limits.splitlines() if "address space" in line)


def test_a_full_pool_refuses_and_a_closed_one_leaves_nothing() -> None:
    """Photos would pile up, and children would outlive the service."""
    before = set(_children())
    pool = Decoders(1, UploadLimits(), 3.0, 0)
    with pytest.raises(FullError):
        pool.submit("a", photo(), SETTINGS)
    pool.close()
    assert set(_children()) <= before
