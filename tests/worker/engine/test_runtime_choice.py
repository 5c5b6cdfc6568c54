"""One runtime for an installation, whoever asks, and whatever the clock says next time."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.worker.engine.conftest import SAMPLES, MakeSpec
from tests.worker.engine.recorder import Recorder
from worker.engine import runtime_choice
from worker.engine.backbone import Backbone, own
from worker.engine.features import cache_of
from worker.engine.runtime_choice import COMPILED, CUDA, EAGER, ONNX, compared, fastest, runtime_of
from worker.engine.runtimes import Eager, Onnx, Runtime


class _Gives:
    """A runtime whose features are one number."""

    def __init__(self, value: float) -> None:
        self.profile = f"gives {value}"
        self._value = value

    def features(self, pixels: Tensor) -> Tensor:
        return torch.full((len(pixels), 4), self._value)


def _takes(seconds: dict[str, float]) -> Callable[[Runtime, Tensor], float]:
    def measured(runtime: Runtime, _pixels: Tensor) -> float:
        return seconds[runtime.profile]

    return measured


PIXELS = torch.zeros(2, 3, 8, 8)


def test_the_fastest_is_taken_where_it_is_clearly_faster() -> None:
    """A chance of the clock would give every image another key for no gain."""
    assert fastest({EAGER: 1.0, ONNX: 0.5}) == ONNX
    assert fastest({EAGER: 1.0, ONNX: 0.9}) == EAGER
    assert fastest({EAGER: 1.0, ONNX: 2.0}) == EAGER
    assert fastest({EAGER: 1.0}) == EAGER


@pytest.mark.parametrize(
    ("size", "other", "is_kept"),
    [(1.0, 1.0005, True), (1.0, 1.002, False), (30.0, 30.02, True), (1.0, float("nan"), False)],
)
def test_one_that_disagrees_with_torch_is_never_taken(
    size: float, other: float, *, is_kept: bool
) -> None:
    """A fast runtime that is wrong would spoil every model without a word."""
    runtimes: dict[str, Runtime] = {EAGER: _Gives(size), ONNX: _Gives(other)}
    taken = _takes({f"gives {size}": 1.0, f"gives {other}": 0.1})
    seconds = compared(runtimes, PIXELS, _never, taken)
    assert set(seconds) == ({EAGER, ONNX} if is_kept else {EAGER})


class _Fails:
    """A runtime that cannot run on this host."""

    profile = "fails"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def features(self, _pixels: Tensor) -> Tensor:
        raise self._error


def test_one_that_cannot_run_costs_only_itself() -> None:
    """A host without a compiler would lose the other runtimes with the compiled one."""
    told: list[tuple[str, str]] = []
    runtimes: dict[str, Runtime] = {
        EAGER: _Gives(1.0),
        COMPILED: _Fails(RuntimeError("no compiler")),
        ONNX: _Gives(1.0),
    }
    seconds = compared(
        runtimes, PIXELS, lambda *why: told.append((why[0], str(why[1]))), _takes({"gives 1.0": 1})
    )
    assert set(seconds) == {EAGER, ONNX}
    assert told == [(COMPILED, "no compiler")]


def test_a_host_out_of_memory_settles_nothing() -> None:
    """A crowded minute would bind an installation to its slowest runtime for good."""
    runtimes: dict[str, Runtime] = {EAGER: _Gives(1.0), ONNX: _Fails(MemoryError())}
    with pytest.raises(MemoryError):
        compared(runtimes, PIXELS, _never, _takes({"gives 1.0": 1}))


def _never(name: str, error: Exception) -> None:
    raise AssertionError(name) from error


def test_what_was_measured_first_holds_for_all(
    tmp_path: Path, backbone: Backbone, make_spec: MakeSpec, shared_cache: Path
) -> None:
    """Two workers would compute the same images twice, each under a key of its own."""
    spec = make_spec(tmp_path / "a", SAMPLES / "target", None)
    (path,) = shared_cache.glob("runtimes/*.efficientnet_lite0.json")
    first = runtime_of(spec, backbone, Recorder())
    again = runtime_of(make_spec(tmp_path / "b", SAMPLES / "target", None), backbone, Recorder())
    assert first.profile == again.profile
    other = EAGER if isinstance(first, Onnx) else ONNX
    before = path.read_text()
    try:
        path.write_text(json.dumps({"runtime": other}))
        assert runtime_of(spec, backbone, Recorder()).profile != first.profile
    finally:
        path.write_text(before)


def test_of_several_that_measure_at_once_the_first_is_right(tmp_path: Path) -> None:
    """Workers that boot together would each believe their own clock."""
    path = tmp_path / "runtimes" / "question.json"
    barrier, found = threading.Barrier(8), list[str]()

    def write(name: str) -> None:
        barrier.wait()
        found.append(runtime_choice._first_written(path, {"runtime": name}))

    names = [EAGER, ONNX] * 4
    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0] == json.loads(path.read_text())["runtime"]
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", ["", "{}", "[]", "not json", '{"runtime": 3}'])
def test_a_damaged_note_is_as_none(tmp_path: Path, content: str) -> None:
    """Each job would fail for a file that anyone may delete."""
    path = tmp_path / "note.json"
    path.write_text(content)
    assert runtime_choice._written(path) is None
    assert runtime_choice._first_written(path, {"runtime": ONNX}) == ONNX
    assert runtime_choice._written(path) == ONNX


def test_a_setting_overrides_the_measurement(
    tmp_path: Path, backbone: Backbone, make_spec: MakeSpec
) -> None:
    """Hosts with unlike processors could not be made to agree."""
    spec = make_spec(tmp_path, SAMPLES / "target", None)
    for name, kind in ((EAGER, Eager), (ONNX, Onnx)):
        asked = spec.model_copy(update={"runtime": name})
        assert isinstance(runtime_of(asked, backbone, Recorder()), kind)


def test_a_gpu_that_is_not_there_is_done_without(
    tmp_path: Path, backbone: Backbone, make_spec: MakeSpec
) -> None:
    """One setting for hosts of two kinds would fail every job on one of them."""
    if torch.cuda.is_available():
        pytest.skip("this host has a GPU")
    told = Recorder()
    asked = make_spec(tmp_path, SAMPLES / "target", None).model_copy(update={"runtime": CUDA})
    assert isinstance(runtime_of(asked, backbone, told), Eager)
    assert told.said("This host has no cuda")


def test_weights_of_ones_own_run_in_torch(
    tmp_path: Path, backbone: Backbone, make_spec: MakeSpec
) -> None:
    """Each fine-tuned base would be exported before its first image."""
    spec = make_spec(tmp_path, SAMPLES / "target", None).model_copy(update={"runtime": ONNX})
    tuned = own(backbone.record, backbone.module, "f" * 64)
    assert isinstance(runtime_of(spec, tuned, Recorder()), Eager)


def test_each_runtime_has_a_cache_of_its_own(
    tmp_path: Path, backbone: Backbone, make_spec: MakeSpec
) -> None:
    """Two runtimes' last digits would be mixed in one head."""
    spec = make_spec(tmp_path, SAMPLES / "target", None)
    keys = {
        cache_of(backbone, tmp_path, runtime_of(asked, backbone, Recorder())).key
        for asked in (spec.model_copy(update={"runtime": name}) for name in (EAGER, ONNX))
    }
    assert len(keys) == 2
    assert cache_of(backbone, tmp_path).key in keys
