"""A checkpoint is whole, the run's own, and cheap; or it is not used."""

from pathlib import Path

import pytest
import torch

from tests.worker.engine.recorder import Recorder
from worker.engine.checkpoints import CheckpointFiles, Saved

SAVED = Saved({"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}, {"step": 4})


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _files(folder: Path, resume: Path | None = None, run: str = "x") -> CheckpointFiles:
    return CheckpointFiles(folder, {"run": run}, resume, Recorder())


def test_what_was_written_is_read_and_two_are_kept(tmp_path: Path) -> None:
    """A resumed training would start elsewhere, or the disk would fill up."""
    recorder = Recorder()
    files = CheckpointFiles(tmp_path, {"run": "x"}, None, recorder)
    for step in (1, 2, 30):
        files.write(SAVED, step, 0)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["step-000000002.safetensors", "step-000000030.safetensors"]
    assert [step for _, step in recorder.checkpoints] == [1, 2, 30]
    found = _files(tmp_path, tmp_path / kept[-1]).restored()
    assert found is not None
    assert found.note == SAVED.note
    assert all(torch.equal(found.tensors[name], SAVED.tensors[name]) for name in SAVED.tensors)
    assert found.tensors["a"].dtype == torch.float32


@pytest.mark.parametrize("fault", ["missing", "cut", "flipped", "garbage", "foreign"])
def test_a_checkpoint_that_cannot_be_trusted_is_refused_aloud(fault: str, tmp_path: Path) -> None:
    """A training would go on from noise, or from another merchant's weights."""
    _files(tmp_path).write(SAVED, 1, 0)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    if fault == "missing":
        path.unlink()
    if fault == "cut":
        path.write_bytes(content[:-3])
    if fault == "flipped":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    if fault == "garbage":
        path.write_bytes(b"\x00" * 100)
    recorder = Recorder()
    identity = {"run": "y" if fault == "foreign" else "x"}
    assert CheckpointFiles(tmp_path, identity, path, recorder).restored() is None
    assert recorder.said("starts anew")


def test_writing_costs_at_most_a_fiftieth_of_the_time(tmp_path: Path) -> None:
    """A slow disk would eat the training's time; a pause of an hour would lose an hour."""
    clock = _Clock()

    class Slow(Recorder):
        def checkpoint(self, *_: object, **__: object) -> None:
            clock.now += 3.0

    files = CheckpointFiles(tmp_path, {}, None, Slow(), clock)
    assert not files.due(epoch_ended=True)
    clock.now = 5.0
    assert files.due(epoch_ended=True)
    assert not files.due(epoch_ended=False)
    files.write(SAVED, 1, 0)
    clock.now += 149
    assert not files.due(epoch_ended=True)
    clock.now += 2
    assert files.due(epoch_ended=True)
    assert files.due(epoch_ended=False)
